// SPDX-License-Identifier: MIT

//go:build ignore

// The client of the print server (S1a), bugs included: it ignores errors of
// stdin and of the connection, so it spins at the end of its input.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	address := "localhost:50000"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println("Error dialing", err)
		return
	}
	input := bufio.NewReader(os.Stdin)
	fmt.Println("First, what is your name?")
	name, _ := input.ReadString('\n')
	name = strings.Trim(name, "\r\n")
	for {
		fmt.Println("What to send to the server? Type Q to quit.")
		line, _ := input.ReadString('\n')
		line = strings.Trim(line, "\r\n")
		if line == "Q" {
			return
		}
		conn.Write([]byte(name + " says: " + line))
	}
}
