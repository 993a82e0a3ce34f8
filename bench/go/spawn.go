// SPDX-License-Identifier: MIT

// Go's side of bench_storm: tasks started without a pause, each of which takes one off a wait group.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

func peak() string {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return "?"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == "VmHWM:" {
			return fields[1]
		}
	}
	return "?"
}

func main() {
	const tasks = 1000000
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < tasks; i++ {
		group.Add(1)
		go group.Done()
	}
	group.Wait()
	fmt.Printf("workers=%d tasks=%d ms=%.0f peak_kib=%s\n", runtime.GOMAXPROCS(0), tasks,
		float64(time.Since(start).Microseconds())/1000, peak())
}
