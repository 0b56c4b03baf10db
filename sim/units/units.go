// Package units holds the value types whose units must not be mixed up: instants and spans of simulated time,
// shares of a GPU, money, and a 128-bit accumulator for exact resource-time integrals.
//
// It belongs to the base layer and imports nothing of the project.
package units

import (
	"fmt"
	"math/bits"
	"time"
)

// Time is an instant of simulated time: nanoseconds since the run's time zero. The zero Time is the start of the run.
type Time int64

// Duration is a span of simulated time in nanoseconds.
type Duration = time.Duration

// Tick is the grid on which the engine places its own events. Timers of upstream code are kept off this grid (they
// are shifted by half a tick), so that an event of ours and a timer of theirs never fall on one instant, where Go's
// runtime would order them at random.
const Tick = Duration(1000)

// Seconds returns t in seconds since time zero.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// Add returns t shifted by d.
func (t Time) Add(d Duration) Time { return t + Time(d) }

// Sub returns the span from u to t.
func (t Time) Sub(u Time) Duration { return Duration(t - u) }

// String formats t as a span since time zero, for people.
func (t Time) String() string { return Duration(t).String() }

// RoundUp returns the first instant of the engine's grid that is not before t.
func (t Time) RoundUp() Time {
	if r := t % Time(Tick); r > 0 {
		return t + Time(Tick) - r
	}
	return t
}

// FromSeconds converts seconds to a Duration on the engine's grid, rounding to the nearest tick.
func FromSeconds(s float64) Duration {
	if s < 0 {
		return -FromSeconds(-s)
	}
	return Duration(float64(s*1e6)+0.5) * Tick
}

// MilliGPU is an amount of GPU in thousandths of one physical GPU.
type MilliGPU int64

// GPU is one whole physical GPU.
const GPU MilliGPU = 1000

// GPUs returns the amount as a number of physical GPUs.
func (m MilliGPU) GPUs() float64 { return float64(m) / 1000 }

// MicroUSD is an amount of money in millionths of a US dollar.
type MicroUSD int64

// USD returns the amount in US dollars.
func (m MicroUSD) USD() float64 { return float64(m) / 1e6 }

// String formats the amount in dollars and cents.
func (m MicroUSD) String() string { return fmt.Sprintf("$%.2f", m.USD()) }

// Integral is an exact sum of amount × time, in unit·nanoseconds, for non-negative amounts. The zero value is 0.
// 128 bits hold 10^5 GPUs in thousandths over 10^6 years, so a ledger balances to the last bit.
type Integral struct{ hi, lo uint64 }

// Add adds amount × span. Both must be ≥ 0; a negative argument is a broken invariant and panics.
func (i *Integral) Add(amount int64, span Duration) {
	if amount < 0 || span < 0 {
		panic(fmt.Sprintf("units: integral of negative amount %d over %d ns", amount, span))
	}
	hi, lo := bits.Mul64(uint64(amount), uint64(span))
	var carry uint64
	i.lo, carry = bits.Add64(i.lo, lo, 0)
	i.hi, _ = bits.Add64(i.hi, hi, carry)
}

// Plus returns the sum of two integrals.
func (i Integral) Plus(j Integral) Integral {
	lo, carry := bits.Add64(i.lo, j.lo, 0)
	hi, _ := bits.Add64(i.hi, j.hi, carry)
	return Integral{hi, lo}
}

// Cmp compares two integrals: -1, 0 or 1.
func (i Integral) Cmp(j Integral) int {
	switch {
	case i.hi < j.hi || i.hi == j.hi && i.lo < j.lo:
		return -1
	case i == j:
		return 0
	}
	return 1
}

// Hours returns the integral in unit·hours.
func (i Integral) Hours() float64 {
	const nsPerHour = 3600 * 1e9
	return float64(float64(i.hi)*(1<<64))/nsPerHour + float64(i.lo)/nsPerHour
}

// GPUHours returns an integral of MilliGPU in GPU·hours.
func (i Integral) GPUHours() float64 { return i.Hours() / 1000 }
