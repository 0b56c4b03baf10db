package account

import (
	"fmt"

	"orrery/sim/units"
)

// channels are the quantities whose time averages make the series; all are ≥ 0 and the GPU ones are in MilliGPU.
type channels [nChannels]int64

const (
	chUsed = iota
	chNoDemand
	chFragmented
	chWaiting
	chDown
	chPendingPods
	chRunningPods
	chPendingGPUs
	nChannels
)

// ledger is the book of GPU time of the whole cluster. It is kept from the records' totals; the nodes and the pods
// keep their own books, and Finish compares the three.
type ledger struct {
	capacity units.MilliGPU // of all nodes that exist
	up, down units.MilliGPU // of nodes in service and out of it
	used     units.MilliGPU // owned, on nodes in service
	refused  units.MilliGPU // asked by pending pods whose latest verdict is unschedulable
	waiting  units.MilliGPU // asked by all other pending pods
	pending  int64          // pods
	running  int64          // pods

	peak  units.MilliGPU // of capacity
	cap   units.Integral
	sums  [chDown + 1]units.Integral // by GPU channel
	lostT units.Integral             // progress thrown away
}

// split returns the state as channels. Idle GPUs are divided by who wants them: those that pods not yet judged could
// take are waiting; of the rest, those that refused pods ask for are fragmented, free and yet of no use to them; what
// nobody asks for is without demand.
func (l *ledger) split() channels {
	idle := l.up - l.used
	waiting := min(idle, l.waiting)
	fragmented := min(idle-waiting, l.refused)
	return channels{
		chUsed: int64(l.used), chNoDemand: int64(idle - waiting - fragmented), chFragmented: int64(fragmented),
		chWaiting: int64(waiting), chDown: int64(l.down), chPendingPods: l.pending, chRunningPods: l.running,
		chPendingGPUs: int64(l.refused + l.waiting),
	}
}

// add books the state over a span.
func (l *ledger) add(now channels, span units.Duration) {
	l.cap.Add(int64(l.capacity), span)
	for i := range l.sums {
		l.sums[i].Add(now[i], span)
	}
}

// check holds the balance at an instant.
func (l *ledger) check() error {
	l.peak = max(l.peak, l.capacity)
	switch {
	case l.capacity != l.up+l.down:
		return fmt.Errorf("conservation broken: capacity %d ≠ up %d + down %d milli-GPU", l.capacity, l.up, l.down)
	case l.used < 0 || l.used > l.up:
		return fmt.Errorf("conservation broken: %d milli-GPU used of %d in service", l.used, l.up)
	case l.refused < 0 || l.waiting < 0 || l.pending < 0 || l.running < 0:
		return fmt.Errorf("conservation broken: negative queue: %+v", *l)
	}
	return nil
}

// balance holds capacity = used + idle by cause + down for the whole run, to the last bit.
func (l *ledger) balance() error {
	var sum units.Integral
	for _, s := range l.sums {
		sum = sum.Plus(s)
	}
	if sum != l.cap {
		return fmt.Errorf("ledger does not balance: capacity %v GPU·h, parts %v GPU·h",
			l.cap.GPUHours(), sum.GPUHours())
	}
	return nil
}

// idle returns the integral of idle GPUs of all causes.
func (l *ledger) idle() units.Integral {
	return l.sums[chNoDemand].Plus(l.sums[chFragmented]).Plus(l.sums[chWaiting])
}
