// SPDX-License-Identifier: MIT

//go:build ignore

// The greeting server (S1d), bugs included: a failed write or close panics,
// and bodies are printed byte by byte up to the first NUL.
package main

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

const chunkSize = 25

func check(err error, what string) {
	if err != nil {
		panic("ERROR: " + what + " " + err.Error())
	}
}

func show(data []byte, n int) {
	print("<", n, ":")
	for _, b := range data[:n] {
		if b == 0 {
			break
		}
		fmt.Printf("%c", b)
	}
	print("> \n")
}

func greet(conn net.Conn) {
	remote := conn.RemoteAddr().String()
	println("Connection from: ", remote)
	n, err := conn.Write([]byte("Let's GO!\n"))
	check(err, "Write: wrote "+string(rune(n))+" bytes.")
	for {
		data := make([]byte, chunkSize+1)
		n, err := conn.Read(data[:chunkSize])
		if err == nil {
			show(data, n)
			continue
		}
		if err == syscall.EAGAIN {
			continue
		}
		break
	}
	check(conn.Close(), "Close: ")
	println("Closed connection: ", remote)
}

func main() {
	if len(os.Args) != 3 {
		panic("usage: host port")
	}
	hostAndPort := os.Args[1] + ":" + os.Args[2]
	address, err := net.ResolveTCPAddr("tcp", hostAndPort)
	check(err, "Resolving address:port failed: '"+hostAndPort+"'")
	listener, err := net.ListenTCP("tcp", address)
	check(err, "ListenTCP: ")
	println("Listening to: ", listener.Addr().String())
	for {
		conn, err := listener.Accept()
		check(err, "Accept: ")
		go greet(conn)
	}
}
