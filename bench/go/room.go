// SPDX-License-Identifier: MIT

//go:build ignore

// A broadcast room as the Go tutorials make it: all members in a map, one
// goroutine that writes every message to each of them. Framed both ways and
// with a lock on the map, else no window of messages could be measured.
//
//	go build room.go && ./room [ADDRESS]
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
)

type message struct {
	from net.Conn
	text string
}

var (
	lock     sync.Mutex
	pool     = map[net.Conn]string{}
	messages = make(chan message, 1)
)

func read(conn net.Conn) {
	decoder := json.NewDecoder(conn)
	for {
		var said struct {
			Message string `json:"message"`
		}
		if decoder.Decode(&said) != nil {
			lock.Lock()
			delete(pool, conn)
			lock.Unlock()
			conn.Close()
			return
		}
		messages <- message{conn, said.Message}
	}
}

func broadcast() {
	for said := range messages {
		lock.Lock()
		own := []byte(pool[said.from] + ": 已经收到信息\n")
		others := []byte(pool[said.from] + " 地址发送了请求消息：" + said.text + "\n")
		for conn := range pool {
			text := others
			if conn == said.from {
				text = own
			}
			if _, err := conn.Write(text); err != nil {
				delete(pool, conn)
			}
		}
		lock.Unlock()
	}
}

func main() {
	address := "127.0.0.1:0"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening broadcast tcp", listener.Addr())
	go broadcast()
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		lock.Lock()
		pool[conn] = conn.RemoteAddr().String()
		lock.Unlock()
		go read(conn)
	}
}
