package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage a run may keep beside what lives. Runs allocate much and keep little: collecting at four times what
// lives takes a fifth off the CPU time of small ones for some 100 MiB. Where much lives (a hundred thousand GPUs) that
// would be gigabytes for nothing: a collection costs as much as what lives, and comes seldom already.
const (
	mostGarbage  = 300     // per cent of what lives
	leastGarbage = 100     // however much lives
	garbageLimit = 2 << 30 // bytes; between the two bounds above
)

// A run collects its garbage between two events, when nothing else goes on. The collector of Go works beside the
// program, and on one processor that is a long time, in which the program pays for every pointer it writes and all that
// it allocates counts as alive: hundreds of MiB in a run of services, and with them the garbage that may be kept. So Go
// itself begins only if there is more garbage than between two events should be, by this factor.
const lateFactor = 1.1

// garbagePercent is how much garbage may be kept when live bytes live, in per cent of them.
func garbagePercent(live uint64) int {
	if live == 0 {
		return mostGarbage
	}
	return int(min(max(garbageLimit*100/live, leastGarbage), mostGarbage))
}

// collected is an object that dies with every collection.
type collected struct{ _ *collected }

// ownPace reports whether this program, not its environment, says when garbage is collected.
func ownPace() bool { return os.Getenv("GOGC") == "" }

// paceCollector sets GOGC now and after every collection.
func paceCollector() {
	if !ownPace() {
		return
	}
	live := []metrics.Sample{{Name: liveBytes}}
	last := 0
	var pace func(*collected)
	pace = func(*collected) {
		metrics.Read(live)
		if p := int(lateFactor * float64(garbagePercent(live[0].Value.Uint64()))); p != last {
			debug.SetGCPercent(p)
			last = p
		}
		runtime.SetFinalizer(&collected{}, pace)
	}
	pace(nil)
}

// Names of runtime/metrics: what the last collection found alive, and what is on the heap, dead or alive.
const (
	liveBytes = "/gc/heap/live:bytes"
	heapBytes = "/memory/classes/heap/objects:bytes"
)

// eventsPerLook is how many events go by between two looks at the heap. An event allocates some 10 kB.
const eventsPerLook = 64

// betweenEvents returns a function that collects garbage when there is enough of it, for a run to call between events.
func betweenEvents() func() {
	if !ownPace() {
		return nil
	}
	heap := []metrics.Sample{{Name: liveBytes}, {Name: heapBytes}}
	events := 0
	return func() {
		if events++; events < eventsPerLook {
			return
		}
		events = 0
		metrics.Read(heap)
		live, all := heap[0].Value.Uint64(), heap[1].Value.Uint64()
		if all/100 > live/100+live/10_000*uint64(garbagePercent(live)) {
			runtime.GC()
		}
	}
}
