// SPDX-License-Identifier: MIT

//go:build ignore

// The acknowledger of the Portuguese tutorial (S0), bugs included: any failed
// read or write panics and takes the whole server down.
package main

import (
	"fmt"
	"net"
	"os"
)

const reply = "Sua mensagem foi recebida com sucesso"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func acknowledge(conn net.Conn) {
	defer conn.Close()
	data := make([]byte, 1024)
	n, err := conn.Read(data)
	must(err)
	fmt.Println("Dado recebido:", string(data[:n]))
	_, err = conn.Write([]byte(reply))
	must(err)
	fmt.Println("Resposta enviada ao cliente.")
}

func main() {
	address := ":5000"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	must(err)
	defer listener.Close()
	for {
		conn, err := listener.Accept()
		must(err)
		go acknowledge(conn)
	}
}
