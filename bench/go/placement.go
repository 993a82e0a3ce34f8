// SPDX-License-Identifier: MIT

// Some usual programs, on two threads: the same as ../placement.c.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"sort"
	"sync"
	"syscall"
	"time"
)

const (
	stages   = 4
	fans     = 4
	parts    = 64
	clients  = 8
	buffered = 16
	roundNs  = 20e6
)

func work(ns time.Duration) {
	if ns > 0 {
		for until := time.Now().Add(ns); time.Now().Before(until); {
		}
	}
}

func passOn(from, to chan uint64, items int, ns time.Duration, running *sync.WaitGroup) {
	for i := 0; i < items; i++ {
		value := uint64(i)
		if from != nil {
			value = <-from
		}
		work(ns)
		if to != nil {
			to <- value
		}
	}
	running.Done()
}

func pingPong(ops int) {
	var running sync.WaitGroup
	running.Add(2)
	link := make(chan uint64)
	go passOn(nil, link, ops, 0, &running)
	go passOn(link, nil, ops, 0, &running)
	running.Wait()
}

func runPipeline(ops int, ns time.Duration) {
	var running sync.WaitGroup
	var from, to chan uint64
	running.Add(stages)
	for i := 0; i < stages; i++ {
		to = nil
		if i < stages-1 {
			to = make(chan uint64, buffered)
		}
		go passOn(from, to, ops, ns, &running)
		from = to
	}
	running.Wait()
}

func pipeline(ops int)     { runPipeline(ops, 0) }
func pipeline1us(ops int)  { runPipeline(ops, time.Microsecond) }
func pipeline5us(ops int)  { runPipeline(ops, 5*time.Microsecond) }
func pipeline50us(ops int) { runPipeline(ops, 50*time.Microsecond) }

func fanOutIn(ops int) {
	var running sync.WaitGroup
	each := ops/fans + 1
	out, in := make(chan uint64, buffered), make(chan uint64, buffered)
	running.Add(fans + 2)
	go passOn(nil, out, each*fans, 0, &running)
	go passOn(in, nil, each*fans, 0, &running)
	for i := 0; i < fans; i++ {
		go passOn(out, in, each, 0, &running)
	}
	running.Wait()
}

func mapReduce(ops int) {
	var running sync.WaitGroup
	results := make(chan uint64, buffered)
	running.Add(parts + 1)
	go passOn(results, nil, parts, 0, &running)
	for i := 0; i < parts; i++ {
		go passOn(nil, results, 1, time.Duration(ops/parts+1)*10*time.Microsecond, &running)
	}
	running.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func acceptLoop(ops int) {
	var running sync.WaitGroup
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	running.Add(clients)
	for i := 0; i < clients; i++ {
		go func() {
			conn, err := net.Dial("tcp", listener.Addr().String())
			must(err)
			data := make([]byte, 64)
			for i := 0; i < ops/clients+1; i++ {
				_, err = conn.Write(data)
				must(err)
				_, err = io.ReadFull(conn, data)
				must(err)
			}
			conn.Close()
			running.Done()
		}()
	}
	for i := 0; i < clients; i++ {
		conn, err := listener.Accept()
		must(err)
		go func() {
			data := make([]byte, 64)
			for {
				n, err := conn.Read(data)
				if err != nil {
					break
				}
				_, err = conn.Write(data[:n])
				must(err)
			}
			conn.Close()
		}()
	}
	running.Wait()
	listener.Close()
}

func measure(run func(ops int), ops int) float64 {
	start := time.Now()
	run(ops)
	return float64(time.Since(start))
}

func calibrate(run func(ops int)) int {
	ops := 64
	took := measure(run, ops)
	for took < roundNs/4 {
		ops *= 2
		took = measure(run, ops)
	}
	return int(float64(ops)*roundNs/took) + 1
}

func cpuNs() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano() + used.Stime.Nano())
}

func main() {
	only := flag.String("only", "", "the program to measure")
	rounds := flag.Int("rounds", 9, "how often")
	flag.Parse()
	runtime.GOMAXPROCS(2)
	for _, one := range []struct {
		name string
		run  func(ops int)
	}{
		{"ping_pong", pingPong}, {"pipeline", pipeline}, {"pipeline_1_us", pipeline1us},
		{"pipeline_5_us", pipeline5us}, {"pipeline_50_us", pipeline50us},
		{"fan_out_in", fanOutIn}, {"map_reduce", mapReduce}, {"accept_loop", acceptLoop},
	} {
		if *only != "" && *only != one.name {
			continue
		}
		ops := calibrate(one.run)
		ns := make([]float64, *rounds)
		before := cpuNs()
		for i := range ns {
			ns[i] = measure(one.run, ops) / float64(ops)
		}
		cpu := (cpuNs() - before) / float64(ops) / float64(*rounds)
		sort.Float64s(ns)
		fmt.Printf("%-16s %9.1f ns/op  (min %.1f, max %.1f of %d rounds)  CPU %.1f ns/op\n", one.name, ns[*rounds/2],
			ns[0], ns[*rounds-1], *rounds, cpu)
	}
}
