// Package sketch counts durations in buckets of equal relative width, so that the percentiles of any number of requests
// take a fixed amount of memory, can be merged over replicas and windows, and never depend on the order of additions.
//
// A bucket is an octave of nanoseconds and one of its 64 equal parts: the middle of a bucket is at most 0.8 % away from
// any value in it. It belongs to the base layer.
package sketch

import (
	"math/bits"
	"slices"
)

// parts of an octave, as a power of two.
const partBits = 6

// Bucket returns the bucket of a duration in nanoseconds; negative ones count as 0.
func Bucket(ns int64) int32 {
	v := uint64(max(ns, 0))
	if v < 1<<partBits {
		return int32(v) // exact
	}
	shift := bits.Len64(v) - partBits - 1
	return int32(shift+1)<<partBits | int32(v>>shift&(1<<partBits-1))
}

// Bounds returns the smallest value of the bucket and the smallest of the next, nanoseconds.
func Bounds(bucket int32) (low, high int64) {
	if bucket < 1<<partBits {
		return int64(bucket), int64(bucket) + 1
	}
	shift := bucket>>partBits - 1
	low = (1<<partBits | int64(bucket&(1<<partBits-1))) << shift
	return low, low + 1<<shift
}

// Mid returns the value that stands for the bucket, nanoseconds.
func Mid(bucket int32) int64 {
	low, high := Bounds(bucket)
	return low + (high-low)/2
}

// Hist is a histogram of durations. The zero value is empty and ready to use.
type Hist struct {
	counts []int64 // by bucket
	n      int64
	sum    int64 // nanoseconds; exact while it fits
	top    int64 // largest value, exact
}

// Add counts a duration.
func (h *Hist) Add(ns int64) { h.AddN(ns, 1) }

// AddN counts a duration n times.
func (h *Hist) AddN(ns, n int64) {
	b := int(Bucket(ns))
	if b >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, b+1-len(h.counts))...)
	}
	h.counts[b] += n
	h.n += n
	h.sum += max(ns, 0) * n
	h.top = max(h.top, ns)
}

// Count is how many durations were counted, Sum their sum and Max the largest, in nanoseconds.
func (h *Hist) Count() int64 { return h.n }

// Sum is the sum of what was counted, nanoseconds.
func (h *Hist) Sum() int64 { return h.sum }

// Max is the largest duration, nanoseconds.
func (h *Hist) Max() int64 { return h.top }

// Reset forgets everything and keeps the memory.
func (h *Hist) Reset() {
	clear(h.counts)
	h.n, h.sum, h.top = 0, 0, 0
}

// Merge adds all that g counted.
func (h *Hist) Merge(g *Hist) {
	if len(g.counts) > len(h.counts) {
		h.counts = append(h.counts, make([]int64, len(g.counts)-len(h.counts))...)
	}
	for b, n := range g.counts {
		h.counts[b] += n
	}
	h.n += g.n
	h.sum += g.sum
	h.top = max(h.top, g.top)
}

// Quantile returns the nearest-rank quantile q, 0 to 1, nanoseconds: the middle of its bucket, never above Max. 0 when
// nothing was counted.
func (h *Hist) Quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	rank := int64(q * float64(h.n))
	if float64(rank) < q*float64(h.n) {
		rank++
	}
	rank = min(max(rank, 1), h.n)
	for b, n := range h.counts {
		if rank -= n; rank <= 0 {
			return min(Mid(int32(b)), h.top)
		}
	}
	return h.top
}

// Sparse returns the buckets that are not empty as pairs bucket, count, ascending.
func (h *Hist) Sparse() []int64 {
	var out []int64
	for b, n := range h.counts {
		if n != 0 {
			out = append(out, int64(b), n)
		}
	}
	return out
}

// FromSparse makes a histogram from pairs bucket, count, and the exact sum and largest value of what they count. It
// reports false when the pairs are none.
func FromSparse(pairs []int64, sum, top int64) (h Hist, ok bool) {
	if len(pairs)%2 != 0 {
		return h, false
	}
	for i := 0; i < len(pairs); i += 2 {
		b, n := pairs[i], pairs[i+1]
		if b < 0 || b > 64<<partBits || n < 0 {
			return h, false
		}
		if int(b) >= len(h.counts) {
			h.counts = slices.Grow(h.counts, int(b)+1)[:b+1]
		}
		h.counts[b] += n
		h.n += n
	}
	h.sum, h.top = sum, top
	return h, true
}

// MergePairs returns the sum of two lists of pairs bucket, count, each ascending by bucket.
func MergePairs(a, b []int64) []int64 {
	out := make([]int64, 0, len(a)+len(b))
	for len(a) > 1 && len(b) > 1 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0], a[1]), a[2:]
		case a[0] > b[0]:
			out, b = append(out, b[0], b[1]), b[2:]
		default:
			out, a, b = append(out, a[0], a[1]+b[1]), a[2:], b[2:]
		}
	}
	return append(append(out, a...), b...)
}

// QuantilePairs is Quantile of what a list of pairs counts, bounded by top.
func QuantilePairs(pairs []int64, top int64, q float64) int64 {
	var n int64
	for i := 1; i < len(pairs); i += 2 {
		n += pairs[i]
	}
	if n == 0 {
		return 0
	}
	rank := int64(q * float64(n))
	if float64(rank) < q*float64(n) {
		rank++
	}
	rank = min(max(rank, 1), n)
	for i := 0; i < len(pairs); i += 2 {
		if rank -= pairs[i+1]; rank <= 0 {
			return min(Mid(int32(pairs[i])), top)
		}
	}
	return top
}
