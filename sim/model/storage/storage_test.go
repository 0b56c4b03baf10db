package storage_test

import (
	"math"
	"testing"
	"time"

	"orrery/sim/model/storage"
	"orrery/sim/plan"
)

// TestPublished recomputes published sizes, a published write and the published example of interval and useful part.
func TestPublished(t *testing.T) {
	for _, tc := range []struct{ params, bytes float64 }{
		{8.03e9, 105e9}, {70.55e9, 0.91e12}, {405.85e9, 5.3e12}, {176.25e9, 2.3e12},
	} {
		if got := storage.Bytes(tc.params); math.Abs(got/tc.bytes-1) > 0.02 {
			t.Errorf("%.0f parameters: %.4g bytes, published %.4g", tc.params, got, tc.bytes)
		}
	}
	if w := storage.Write(2.3e12, 48, &plan.Storage{WriteGBs: 57}, 1); w < 40*time.Second || w > 41*time.Second {
		t.Errorf("BLOOM's checkpoint takes %s, measured 40 s", w)
	}
	// 2048 nodes with 6.5 failures per 1000 node-days fail every 24 h ÷ 13.312.
	between := 24 * time.Hour * 1000 / 13312
	every := storage.Interval(20*time.Second, between)
	if every < 8*time.Minute+20*time.Second || every > 8*time.Minute+40*time.Second {
		t.Errorf("best interval %s, published 8.5 min", every)
	}
	if u := storage.Useful(every, 20*time.Second, 5*time.Minute, between); math.Abs(u-0.88) > 0.01 {
		t.Errorf("useful part %.3f, published 0.88", u)
	}
}

// TestInterval holds that the interval is the best one: no other wastes less.
func TestInterval(t *testing.T) {
	write, between := 30*time.Second, 9*time.Hour
	best := storage.Interval(write, between)
	waste := func(d time.Duration) float64 { return write.Seconds()/d.Seconds() + d.Seconds()/2/between.Seconds() }
	for _, f := range []float64{0.5, 0.8, 0.95, 1.05, 1.25, 2} {
		if waste(time.Duration(float64(best)*f)) < waste(best) {
			t.Errorf("an interval %.2f times as long wastes less than %s", f, best)
		}
	}
}

// TestStall holds that the slower of nodes and storage counts, that an asynchronous write stops training only for the
// copy, and that one that takes too long holds it up.
func TestStall(t *testing.T) {
	s := &plan.Storage{WriteGBs: 100, NodeWriteGBs: 10}
	save := &plan.Save{Every: time.Minute, Bytes: 1e12}
	for _, tc := range []struct {
		nodes int
		share float64
		async bool
		want  time.Duration
	}{
		{4, 1, false, 25 * time.Second},
		{20, 1, false, 10 * time.Second},
		{20, 0.25, false, 40 * time.Second},
		{20, 1, true, 125 * time.Millisecond},                                        // 1 TB ÷ 160 GPUs ÷ 50 GB/s
		{20, 0.1, true, 40*time.Second + 125*time.Millisecond},                       // 100 s to write, 60 s between
		{1, 1, true, 40*time.Second + time.Duration(2500*float64(time.Millisecond))}, // one node of 8
	} {
		c := *save
		c.Async = tc.async
		if got := storage.Stall(&c, 8*tc.nodes, tc.nodes, s, tc.share); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	if storage.Stall(nil, 8, 1, s, 1) != 0 || storage.Write(1e12, 1, nil, 1) != 0 {
		t.Error("no checkpoints or no storage cost time")
	}
}

// TestForever: over a storage that is next to nothing a checkpoint takes a century and not, by an overflow, no time.
func TestForever(t *testing.T) {
	s := &plan.Storage{WriteGBs: 1e-12, ReadGBs: 1e-9}
	save := &plan.Save{Every: time.Minute, Bytes: 1e12, Async: true}
	for _, got := range []time.Duration{storage.Restore(save.Bytes, 2, s, 1), storage.Write(save.Bytes, 2, s, 1),
		storage.Stall(save, 8, 1, s, 1)} {
		if got.Hours() < 99*365*24 || got.Hours() > 101*365*24 {
			t.Errorf("%s, want a century", got)
		}
	}
}
