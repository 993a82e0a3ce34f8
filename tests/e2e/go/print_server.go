// SPDX-License-Identifier: MIT

//go:build ignore

// The print server (S1a), bugs included: it never closes a connection and
// prints what it receives without a newline.
package main

import (
	"fmt"
	"net"
	"os"
)

func printAll(conn net.Conn) {
	for {
		data := make([]byte, 512)
		n, err := conn.Read(data)
		if err != nil {
			fmt.Println("Error reading", err)
			return
		}
		fmt.Printf("Received data: %s", data[:n])
	}
}

func main() {
	address := "localhost:50000"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	fmt.Println("Starting the server ...")
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println("Error listening", err)
		return
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println("Error accepting", err)
			return
		}
		go printAll(conn)
	}
}
