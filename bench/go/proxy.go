// SPDX-License-Identifier: MIT

//go:build ignore

// Port forwarding with Go's io.Copy, for comparison: proxy HERE THERE. A
// half-close is passed on. Build it with `go build proxy.go`.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"sync"
)

func forward(client net.Conn, there string) {
	defer client.Close()
	server, err := net.Dial("tcp", there)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	way := func(to, from net.Conn) {
		defer both.Done()
		io.Copy(to, from)
		to.(*net.TCPConn).CloseWrite()
	}
	both.Add(2)
	go way(server, client)
	go way(client, server)
	both.Wait()
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(client, os.Args[2])
	}
}
