// SPDX-License-Identifier: MIT

//go:build ignore

// The member of the broadcast room (S2), bugs included: it sends words instead
// of lines, spins at the end of its input and exits 0 whatever happened.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

type request struct {
	ClientIP string `json:"client_ip"`
	Message  string `json:"message"`
}

func send(conn net.Conn) {
	for {
		var word string
		fmt.Scanln(&word)
		switch word {
		case "/q", "/quit":
			fmt.Println("Byebye ...")
			conn.Close()
			os.Exit(0)
		case "":
			continue
		}
		text, _ := json.Marshal(request{conn.LocalAddr().String(), word})
		if _, err := conn.Write(text); err != nil {
			conn.Close()
			return
		}
	}
}

func main() {
	address := "0.0.0.0:1253"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	go send(conn)
	for {
		data := make([]byte, 1024)
		n, err := conn.Read(data)
		if err != nil {
			fmt.Printf("recv server msg failed: %v\n", err)
			conn.Close()
			return
		}
		fmt.Printf("msg: ----> %s\n", data[:n])
	}
}
