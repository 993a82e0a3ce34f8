// SPDX-License-Identifier: MIT

//go:build ignore

// The tutorial's broadcast room (S2) for comparison: a map of connections, one
// channel of messages, and one goroutine that writes each message to each
// member in turn. Of its bugs only those are mended that would end or falsify
// a measurement: the map has a lock, messages may be glued or split, an answer
// ends in LF, and nothing is printed. Build it with `go build room.go`.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
)

type request struct {
	Message string `json:"message"`
}

type said struct {
	by      net.Conn
	message string
}

var (
	lock     sync.Mutex
	pool     = map[string]net.Conn{}
	messages = make(chan said, 1)
)

func readMember(key string, conn net.Conn) {
	decoder := json.NewDecoder(conn)
	for {
		var got request
		if err := decoder.Decode(&got); err != nil {
			lock.Lock()
			delete(pool, key)
			lock.Unlock()
			conn.Close()
			return
		}
		messages <- said{conn, got.Message}
	}
}

func broadcast() {
	for one := range messages {
		sender := one.by.RemoteAddr().String()
		lock.Lock()
		for key, conn := range pool {
			text := sender + " 地址发送了请求消息：" + one.message + "\n"
			if conn == one.by {
				text = sender + ": 已经收到信息\n"
			}
			if _, err := conn.Write([]byte(text)); err != nil {
				delete(pool, key)
			}
		}
		lock.Unlock()
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
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
		pool[conn.RemoteAddr().String()] = conn
		lock.Unlock()
		go readMember(conn.RemoteAddr().String(), conn)
	}
}
