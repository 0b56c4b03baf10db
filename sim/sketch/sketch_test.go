package sketch_test

import (
	"math/rand"
	"slices"
	"testing"

	"orrery/sim/sketch"
)

// TestBuckets checks that buckets tile the line and are narrow.
func TestBuckets(t *testing.T) {
	last := int64(0)
	for b := int32(0); b < 50<<6; b++ {
		low, high := sketch.Bounds(b)
		if low != last {
			t.Fatalf("bucket %d begins at %d, the one before ends at %d", b, low, last)
		}
		if sketch.Bucket(low) != b || sketch.Bucket(high-1) != b {
			t.Fatalf("bucket %d = [%d, %d) holds its ends in %d and %d", b, low, high, sketch.Bucket(low), sketch.Bucket(high-1))
		}
		if mid := sketch.Mid(b); float64(high-1-mid) > 0.008*float64(max(low, 1)) && high-low > 1 {
			t.Fatalf("bucket %d = [%d, %d) is wide", b, low, high)
		}
		last = high
	}
}

// TestQuantiles compares with the exact nearest rank, and merged histograms with one that saw everything.
func TestQuantiles(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var all []int64
	var one, parts sketch.Hist
	for range 10 {
		var part sketch.Hist
		for range 1000 {
			v := int64(rnd.ExpFloat64() * 1e9)
			all = append(all, v)
			one.Add(v)
			part.Add(v)
		}
		parts.Merge(&part)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, min(len(all)-1, int(q*float64(len(all)))-1))]
		got := one.Quantile(q)
		if d := float64(got - want); d > 0.009*float64(want)+1 || d < -0.009*float64(want)-1 {
			t.Errorf("quantile %v = %d, want %d", q, got, want)
		}
		if parts.Quantile(q) != got {
			t.Errorf("quantile %v of the merged histogram is %d, want %d", q, parts.Quantile(q), got)
		}
	}
	back, ok := sketch.FromSparse(one.Sparse(), one.Sum(), one.Max())
	if !ok || back.Quantile(0.9) != one.Quantile(0.9) || back.Count() != one.Count() {
		t.Error("a histogram from its own pairs differs")
	}
	if _, ok := sketch.FromSparse([]int64{1}, 0, 0); ok {
		t.Error("half a pair is taken")
	}
}
