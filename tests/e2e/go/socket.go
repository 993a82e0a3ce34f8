// SPDX-License-Identifier: MIT

//go:build ignore

// The socket demo (S1c), bugs included: a failed dial is not looked at, and
// the page is used as a printf format.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	address := "www.apache.org:80"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	conn, _ := net.Dial("tcp", address)
	conn.Write([]byte("GET / \n"))
	page := make([]byte, 4096)
	for {
		n, err := conn.Read(page)
		if err != nil {
			break
		}
		format := string(page[:n])
		fmt.Printf(format)
	}
	conn.Close()
}
