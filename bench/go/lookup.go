// SPDX-License-Identifier: MIT

// 10,000 lookups by Go's own resolver, 200 goroutines at a time: what bench_lookup does with tasks.
package main

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	goroutines = 200
	lookups    = 50
	addresses  = 2
)

func main() {
	var wrong int32
	var running sync.WaitGroup
	begun := time.Now()
	for k := 0; k < goroutines; k++ {
		running.Add(1)
		go func(k int) {
			defer running.Done()
			for i := 0; i < lookups; i++ {
				found, err := net.LookupHost(fmt.Sprintf("n%d-%d.test.", k, i))
				if err != nil || len(found) != addresses {
					atomic.AddInt32(&wrong, 1)
				}
			}
		}(k)
	}
	running.Wait()
	took := time.Since(begun).Seconds()
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	cpu := float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
	count := float64(goroutines * lookups)
	fmt.Printf("go rate=%.0f cpu_us=%.1f wrong=%d\n", count/took, cpu*1e6/count, wrong)
}
