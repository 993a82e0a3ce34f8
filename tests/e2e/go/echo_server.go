// SPDX-License-Identifier: MIT

//go:build ignore

// The echo server (S3), bugs included: a new buffered reader for every read
// throws away what the previous one had read ahead.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

func echo(conn net.Conn) {
	defer conn.Close()
	for {
		reader := bufio.NewReader(conn)
		var data [128]byte
		n, err := reader.Read(data[:])
		if err != nil {
			fmt.Println("read from client failed, err: ", err)
			break
		}
		text := string(data[:n])
		fmt.Println("收到Client端发来的数据：", text)
		conn.Write([]byte(text))
	}
}

func main() {
	address := "127.0.0.1:9999"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println("Listen() failed, err: ", err)
		return
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println("Accept() failed, err: ", err)
			continue
		}
		go echo(conn)
	}
}
