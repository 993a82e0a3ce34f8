// SPDX-License-Identifier: MIT

//go:build ignore

// The echo client (S3), bugs included: one read is taken for one answer, an
// empty line waits for ever.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	address := "127.0.0.1:9999"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println("err : ", err)
		return
	}
	defer conn.Close()
	input := bufio.NewReader(os.Stdin)
	for {
		line, _ := input.ReadString('\n')
		line = strings.Trim(line, "\r\n")
		if strings.ToUpper(line) == "Q" {
			return
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			return
		}
		var answer [512]byte
		n, err := conn.Read(answer[:])
		if err != nil {
			fmt.Println("recv failed, err:", err)
			return
		}
		fmt.Println(string(answer[:n]))
	}
}
