// SPDX-License-Identifier: MIT

//go:build ignore

// Datagrams with Go's net. `packets ADDRESS TEXT...` dials, sends each text as
// one datagram and prints each answer in quotes; `packets` alone echoes on a
// port of the kernel's choice.
package main

import (
	"fmt"
	"net"
	"os"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func echo() {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	data := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFrom(data)
		must(err)
		_, err = conn.WriteTo(data[:n], from)
		must(err)
	}
}

func main() {
	if len(os.Args) < 2 {
		echo()
	}
	conn, err := net.Dial("udp", os.Args[1])
	must(err)
	data := make([]byte, 65536)
	for _, text := range os.Args[2:] {
		_, err = conn.Write([]byte(text))
		must(err)
		n, err := conn.Read(data)
		must(err)
		fmt.Printf("%q\n", data[:n])
	}
}
