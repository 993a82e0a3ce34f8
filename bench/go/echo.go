// SPDX-License-Identifier: MIT

//go:build ignore

// Go's plain echo server, for comparison: one goroutine per connection, a
// buffer of 16 KiB, no printing; with -log a line on stderr for each
// connection that ends. Build it with `go build echo.go`.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

func echo(conn net.Conn) (bytes int, err error) {
	defer conn.Close()
	buffer := make([]byte, 16384)
	for {
		count, err := conn.Read(buffer)
		if err != nil {
			return bytes, err
		}
		bytes += count
		if _, err := conn.Write(buffer[:count]); err != nil {
			return bytes, err
		}
	}
}

func echoLogged(conn net.Conn) {
	start := time.Now()
	bytes, err := echo(conn)
	log.Printf("closed peer=%s bytes=%d ms=%d reason=%q", conn.RemoteAddr(), bytes,
		time.Since(start).Milliseconds(), err)
}

func main() {
	logged := flag.Bool("log", false, "a line on stderr for each connection")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening echo tcp", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if *logged {
			go echoLogged(conn)
		} else {
			go echo(conn)
		}
	}
}
