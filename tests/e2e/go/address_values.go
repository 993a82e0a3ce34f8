// SPDX-License-Identifier: MIT
// Go's answers to texts of addresses, a line for each line read: "ip TEXT", "prefix TEXT", "mac TEXT".
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

func traits(ip net.IP) int {
	bits := 0
	for i, is := range []bool{ip.IsUnspecified(), ip.IsLoopback(), ip.IsPrivate(), ip.IsMulticast(),
		ip.IsInterfaceLocalMulticast(), ip.IsLinkLocalMulticast(), ip.IsLinkLocalUnicast(),
		ip.Equal(net.IPv4bcast), ip.IsGlobalUnicast()} {
		if is {
			bits |= 1 << i
		}
	}
	return bits
}

func answer(kind, text string) string {
	switch kind {
	case "ip":
		if ip := net.ParseIP(text); ip != nil {
			return fmt.Sprintf("%v %d", ip, traits(ip))
		}
	case "prefix":
		if _, network, err := net.ParseCIDR(text); err == nil {
			return network.String()
		}
	case "mac":
		if mac, err := net.ParseMAC(text); err == nil {
			return mac.String()
		}
	}
	return "invalid"
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		kind, text, _ := strings.Cut(lines.Text(), " ")
		fmt.Fprintln(out, answer(kind, text))
	}
}
