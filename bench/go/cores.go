// SPDX-License-Identifier: MIT

// What goroutines on two threads have to do with each other: the same as ../cores.c, line by line.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"
)

const (
	tasks    = 8
	pairs    = 4
	buffered = 128
	roundNs  = 20e6
)

var start, end time.Time

func begin()  { start = time.Now() }
func finish() { end = time.Now() }

func handOff(ops int) {
	there, back := make(chan uint64), make(chan uint64)
	go func() {
		for value := range there {
			back <- value
		}
	}()
	for i := 0; i < ops/2+1; i++ {
		there <- uint64(i)
		<-back
	}
	close(there)
}

// A goroutine locked to its thread has that thread to itself: the two are apart.
func handOffApart(ops int) {
	there, back := make(chan uint64), make(chan uint64)
	go func() {
		runtime.LockOSThread()
		for value := range there {
			back <- value
		}
	}()
	begin()
	for i := 0; i < ops/2+1; i++ {
		there <- uint64(i)
		<-back
	}
	finish()
	close(there)
}

func through(ops, count int) {
	var running sync.WaitGroup
	items := make(chan uint64, buffered)
	turns := ops/count + 1
	running.Add(2 * count)
	for i := 0; i < count; i++ {
		go func() {
			for i := 0; i < turns; i++ {
				items <- uint64(i)
			}
			running.Done()
		}()
	}
	for i := 0; i < count; i++ {
		go func() {
			for i := 0; i < turns; i++ {
				<-items
			}
			running.Done()
		}()
	}
	running.Wait()
}

func items1(ops int) { through(ops, 1) }
func items4(ops int) { through(ops, pairs) }

func mutex(ops int) {
	var running sync.WaitGroup
	var lock sync.Mutex
	counter := 0
	running.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for i := 0; i < ops/tasks+1; i++ {
				lock.Lock()
				counter++
				lock.Unlock()
			}
			running.Done()
		}()
	}
	running.Wait()
}

func spawn(ops int) {
	var running sync.WaitGroup
	running.Add(ops)
	for i := 0; i < ops; i++ {
		go running.Done()
	}
	running.Wait()
}

func closeWakes(ops int) {
	var running sync.WaitGroup
	values := make(chan uint64)
	running.Add(ops)
	for i := 0; i < ops; i++ {
		go func() {
			<-values
			running.Done()
		}()
	}
	time.Sleep(100 * time.Millisecond) // by then they wait
	begin()
	close(values)
	running.Wait()
	finish()
}

// What counts is how late the last one is.
func sleepers(ops int) {
	var running sync.WaitGroup
	wakeAt := time.Now().Add(200*time.Millisecond + time.Duration(ops)*3000)
	running.Add(ops)
	for i := 0; i < ops; i++ {
		go func() {
			time.Sleep(time.Until(wakeAt))
			running.Done()
		}()
	}
	running.Wait()
	finish()
	start = wakeAt
}

func computing(ops int) {
	var running sync.WaitGroup
	running.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for i := 0; i < ops/tasks+1; i++ {
				for until := time.Now().Add(time.Millisecond); time.Now().Before(until); {
				}
				runtime.Gosched()
			}
			running.Done()
		}()
	}
	running.Wait()
}

func measure(run func(ops int), ops int) float64 {
	end = time.Time{}
	begin()
	run(ops)
	if end.IsZero() {
		finish()
	}
	return float64(end.Sub(start))
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

func main() {
	only := flag.String("only", "", "the case to measure")
	fixed := flag.Int("ops", 0, "operations per round")
	rounds := flag.Int("rounds", 9, "how often")
	flag.Parse()
	runtime.GOMAXPROCS(2)
	for _, one := range []struct {
		name string
		run  func(ops int)
	}{
		{"hand_off", handOff}, {"hand_off_apart", handOffApart},
		{"items_1_to_1", items1}, {"items_4_to_4", items4},
		{"mutex_8_tasks", mutex}, {"spawn_many", spawn},
		{"close_wakes", closeWakes}, {"sleepers", sleepers},
		{"computing_8_tasks", computing},
		{"computing_8_floating", computing}, // all goroutines float
	} {
		if *only != "" && *only != one.name {
			continue
		}
		ops := *fixed
		if ops == 0 {
			ops = calibrate(one.run)
		}
		ns := make([]float64, *rounds)
		for i := range ns {
			ns[i] = measure(one.run, ops) / float64(ops)
		}
		sort.Float64s(ns)
		fmt.Printf("%-26s %9.1f ns/op  (min %.1f, median %.1f, max %.1f of %d rounds)\n", one.name, ns[*rounds/2],
			ns[0], ns[*rounds/2], ns[*rounds-1], *rounds)
	}
}
