package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage a run may keep beside what lives. Runs allocate much and keep little: collecting at five times what
// lives takes a fifth off the CPU time of small ones for some 100 MiB. Where much lives (a hundred thousand GPUs) that
// would be gigabytes for nothing: a collection costs as much as what lives, and comes seldom already.
const (
	mostGarbage  = 400     // per cent of what lives
	leastGarbage = 100     // however much lives
	garbageLimit = 2 << 30 // bytes; between the two bounds above
)

// garbagePercent is the collector's GOGC when live bytes live.
func garbagePercent(live uint64) int {
	if live == 0 {
		return mostGarbage
	}
	return int(min(max(garbageLimit*100/live, leastGarbage), mostGarbage))
}

// collected is an object that dies with every collection.
type collected struct{ _ *collected }

// paceCollector sets GOGC now and after every collection.
func paceCollector() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	last := 0
	var pace func(*collected)
	pace = func(*collected) {
		metrics.Read(live)
		if p := garbagePercent(live[0].Value.Uint64()); p != last {
			debug.SetGCPercent(p)
			last = p
		}
		runtime.SetFinalizer(&collected{}, pace)
	}
	pace(nil)
}
