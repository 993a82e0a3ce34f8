// SPDX-License-Identifier: MIT

//go:build ignore

// The dial demo (S1b): connects to pairs NETWORK ADDRESS, one after the other,
// without a time limit and without ever closing.
package main

import (
	"fmt"
	"net"
	"os"
)

func check(conn net.Conn, err error) {
	if err != nil {
		fmt.Printf("error %v connecting!", err)
		os.Exit(1)
	}
	fmt.Printf("Connection is made with %v\n", conn)
}

func main() {
	targets := []string{
		"tcp", "192.0.32.10:80",
		"udp", "192.0.32.10:80",
		"tcp", "[2620:0:2d0:200::10]:80",
	}
	if len(os.Args) > 2 {
		targets = os.Args[1:]
	}
	for i := 0; i+1 < len(targets); i += 2 {
		check(net.Dial(targets[i], targets[i+1]))
	}
}
