// SPDX-License-Identifier: MIT

//go:build ignore

// Go's plain UDP echo, for comparison: one goroutine per socket, addresses as
// values, no printing. Build it with `go build echo_udp.go`.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
)

func echo(conn *net.UDPConn) {
	buffer := make([]byte, 65536)
	for {
		count, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err == nil {
			_, err = conn.WriteToUDPAddrPort(buffer[:count], from)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func main() {
	sockets := flag.Int("sockets", 1, "how many")
	flag.Parse()
	for i := 0; i < *sockets; i++ {
		local := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))
		conn, err := net.ListenUDP("udp", local)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("listening echo udp", conn.LocalAddr())
		go echo(conn)
	}
	select {}
}
