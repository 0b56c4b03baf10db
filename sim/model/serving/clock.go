package serving

import (
	"math/bits"

	"orrery/sim/units"
)

// fine is how many parts of a nanosecond the time of iterations is counted in. Integers make a sum in closed form equal
// to the sum of its terms, whatever the order, so that both replicas agree to the last bit.
const (
	fineBits = 20
	fine     = 1 << fineBits
)

// full is the speed of a replica that has its devices to itself, in millionths.
const full = 1_000_000

// fineOf converts seconds.
func fineOf(seconds float64) int64 { return int64(float64(seconds*(1e9*fine)) + 0.5) }

// clock says at which instant of simulated time so much of the devices' own time has passed since its anchor. Instants
// are on the engine's grid, rounded up; the devices' time is not, so that rounding does not add up.
type clock struct {
	anchor units.Time
	speed  int64 // millionths
}

// at is the first instant of the grid at which u of the devices' time has passed since the anchor. u may be negative
// by less than what has been simulated.
func (c *clock) at(u int64) units.Time {
	if u <= 0 {
		return c.anchor.RoundUp()
	}
	if c.speed == full {
		return (c.anchor + units.Time((u+fine-1)>>fineBits)).RoundUp()
	}
	hi, lo := bits.Mul64(uint64(u), full)
	d := uint64(c.speed) << fineBits
	q, r := bits.Div64(hi, lo, d)
	if r > 0 {
		q++
	}
	return (c.anchor + units.Time(q)).RoundUp()
}

// passed is the devices' time between the anchor and an instant, rounded down.
func (c *clock) passed(t units.Time) int64 {
	if t <= c.anchor {
		return 0
	}
	d := uint64(t - c.anchor)
	if c.speed == full {
		return int64(d << fineBits)
	}
	hi, lo := bits.Mul64(d, uint64(c.speed)<<fineBits)
	q, _ := bits.Div64(hi, lo, full)
	return int64(q)
}

// least is the smallest u with at(u) ≥ t.
func (c *clock) least(t units.Time) int64 {
	before := t.RoundUp() - units.Time(units.Tick)
	if before < c.anchor {
		return 0
	}
	return c.passed(before) + 1
}

// slip moves the anchor forward by whole parts of speed, so that at is the same for the same moment, and returns what
// every u has to be lessened by. It keeps u small.
func (c *clock) slip(u int64) int64 {
	unit := c.speed << fineBits // so much is exactly full nanoseconds
	n := u / unit
	c.anchor += units.Time(n * full)
	return n * unit
}

// slipBeyond is where u is lessened: a quarter hour of the devices' time.
const slipBeyond = 900 * 1_000_000_000 << fineBits
