package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 300, 1 << 20: 300, 512 << 20: 300, 1 << 30: 200, 2 << 30: 100, 64 << 30: 100} {
		if got := garbagePercent(live); got != want {
			t.Errorf("%d MiB live: %d %%, want %d %%", live>>20, got, want)
		}
	}
}
