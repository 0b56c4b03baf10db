package startup

import (
	"math"
	"slices"

	"orrery/sim/model/contention"
	"orrery/sim/units"
)

// Transfers are downloads and reads that go on at one time and share links. The zero value has none. It is not safe for
// concurrent use.
type Transfers struct {
	network contention.Network
	list    []*Transfer // in the order in which they began
	at      units.Time  // what is left is known for this instant
}

// Transfer is one of Transfers.
type Transfer struct {
	left float64 // bytes
	most float64 // bytes per second when nobody else is there; +Inf = it takes no time
	flow *contention.Flow
}

// gigabyte is that of rates: decimal, as networks and disks are sold.
const gigabyte = 1e9

// GiB is that of sizes: binary, as memory is counted.
const GiB = 1 << 30

// Link is a link with its capacity. The zero value carries anything.
type Link struct {
	id  contention.LinkID
	gbs float64
}

// Link adds a link of gbs × 10⁹ bytes per second; 0 = without limit.
func (x *Transfers) Link(gbs float64) Link {
	if gbs <= 0 {
		return Link{}
	}
	return Link{x.network.AddLink(gbs), gbs}
}

// Begin starts to move bytes over the links, at no more than limit × 10⁹ bytes per second (0 = as fast as they can).
func (x *Transfers) Begin(now units.Time, bytes, limit float64, links ...Link) *Transfer {
	x.settle(now)
	most := math.Inf(1)
	if limit > 0 {
		most = limit
	}
	for _, l := range links {
		if l.gbs > 0 {
			most = min(most, l.gbs)
		}
	}
	t := &Transfer{left: bytes, most: float64(most * gigabyte)}
	var uses []contention.Use
	for _, l := range links {
		if l.gbs > 0 {
			uses = append(uses, contention.Use{Link: l.id, Demand: most, Weight: 1})
		}
	}
	if len(uses) > 0 {
		t.flow, _ = x.network.Add(uses)
	}
	x.list = append(x.list, t)
	return t
}

// End takes a transfer off its links, done or not.
func (x *Transfers) End(now units.Time, t *Transfer) {
	x.settle(now)
	i := slices.Index(x.list, t)
	if i < 0 {
		return
	}
	x.list = slices.Delete(x.list, i, i+1)
	if t.flow != nil {
		x.network.Remove(t.flow)
	}
}

// Left returns how many bytes a transfer has still to move.
func (x *Transfers) Left(now units.Time, t *Transfer) float64 {
	if math.IsInf(t.most, 1) {
		return 0
	}
	return max(t.left-float64(t.rate()*now.Sub(x.at).Seconds()), 0)
}

// Next returns the transfer that will be done first, should none begin or end before, and when; nil when there is none.
func (x *Transfers) Next() (first *Transfer, at units.Time) {
	for _, t := range x.list {
		if due := x.at.Add(t.rest()).RoundUp(); first == nil || due < at {
			first, at = t, due
		}
	}
	return first, at
}

// rate is in bytes per second.
func (t *Transfer) rate() float64 {
	if t.flow == nil {
		return t.most
	}
	return float64(t.most*float64(t.flow.Speed())) / contention.Full
}

// rest is how long a transfer would take from now on.
func (t *Transfer) rest() units.Duration {
	if t.left <= 0 || math.IsInf(t.most, 1) {
		return 0
	}
	return units.Duration(math.Ceil(min(t.left/t.rate()*1e9, math.MaxInt64/4)))
}

// settle books what was moved up to now.
func (x *Transfers) settle(now units.Time) {
	seconds := now.Sub(x.at).Seconds()
	x.at = now
	if seconds <= 0 {
		return
	}
	for _, t := range x.list {
		if math.IsInf(t.most, 1) {
			t.left = 0
			continue
		}
		t.left = max(t.left-float64(t.rate()*seconds), 0)
	}
}
