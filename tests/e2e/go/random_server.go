// SPDX-License-Identifier: MIT

//go:build ignore

// The random number server (S4), bugs included: a new buffered reader per
// line, no close after a read error, 100 never drawn.
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	min = 1
	max = 100
)

func serve(conn net.Conn) {
	fmt.Printf("Serving %s\n", conn.RemoteAddr().String())
	for {
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			fmt.Println(err)
			return
		}
		if strings.TrimSpace(line) == "STOP" {
			break
		}
		number := rand.Intn(max-min) + min
		conn.Write([]byte(strconv.Itoa(number) + "\n"))
	}
	conn.Close()
}

func main() {
	if len(os.Args) == 1 {
		fmt.Println("Please provide a port number!")
		return
	}
	listener, err := net.Listen("tcp4", ":"+os.Args[1])
	if err != nil {
		fmt.Println(err)
		return
	}
	defer listener.Close()
	rand.Seed(time.Now().Unix())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println(err)
			return
		}
		go serve(conn)
	}
}
