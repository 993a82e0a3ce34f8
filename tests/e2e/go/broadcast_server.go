// SPDX-License-Identifier: MIT

//go:build ignore

// The broadcast room (S2), bugs included: a map shared without a lock, one
// read taken for one message, the peer's claim of its address believed, and a
// single writer that the slowest member stops.
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

var (
	pool     = map[string]net.Conn{}
	messages = make(chan string, 1)
)

func readMember(key string, conn net.Conn) {
	for {
		data := make([]byte, 1024)
		n, err := conn.Read(data)
		if err != nil {
			fmt.Printf("read client message failed:%v\n", err)
			delete(pool, key)
			conn.Close()
			return
		}
		messages <- string(data[:n])
	}
}

func broadcast() {
	for raw := range messages {
		var got request
		_ = json.Unmarshal([]byte(raw), &got)
		for key, conn := range pool {
			address := conn.RemoteAddr().String()
			text := address + " 地址发送了请求消息：" + got.Message
			if address == got.ClientIP {
				fmt.Printf("%s---->%s\n", address, raw)
				fmt.Println("connection is connected from ", key)
				text = address + ": 已经收到信息"
			}
			if _, err := conn.Write([]byte(text)); err != nil {
				fmt.Printf("broad message to %s failed: %v\n", key, err)
				delete(pool, key)
			}
		}
	}
}

func startServe(host, port string) error {
	address, err := net.ResolveTCPAddr("tcp4", host+":"+port)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return err
	}
	go broadcast()
	for {
		fmt.Println("listening port: ", port)
		conn, acceptErr := listener.Accept()
		if acceptErr != nil {
			fmt.Printf("Accept failed:%v\n", err)
			continue
		}
		key := conn.RemoteAddr().String()
		pool[key] = conn
		fmt.Println(pool)
		go readMember(key, conn)
	}
}

func main() {
	host, port := "0.0.0.0", "1253"
	if len(os.Args) > 2 {
		host, port = os.Args[1], os.Args[2]
	}
	fmt.Println(startServe(host, port))
}
