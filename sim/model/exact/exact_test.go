package exact_test

import (
	"math"
	"testing"

	"orrery/sim/model/exact"
)

// TestAgainstLibrary compares with the standard library over many magnitudes.
func TestAgainstLibrary(t *testing.T) {
	for x := 1e-9; x < 1e18; x *= 1.37 {
		if got, want := exact.Log2(x), math.Log2(x); math.Abs(got-want) > 1e-13*math.Max(1, math.Abs(want)) {
			t.Errorf("Log2(%v) = %v, want %v", x, got, want)
		}
		if got, want := exact.Log(x), math.Log(x); math.Abs(got-want) > 1e-13*math.Max(1, math.Abs(want)) {
			t.Errorf("Log(%v) = %v, want %v", x, got, want)
		}
	}
	for x := -70.0; x < 70; x += 0.123 {
		if got, want := exact.Exp2(x), math.Exp2(x); math.Abs(got-want) > 1e-13*want {
			t.Errorf("Exp2(%v) = %v, want %v", x, got, want)
		}
	}
	for n := range 60 {
		if got := exact.Log2(math.Ldexp(1, n)); got != float64(n) {
			t.Errorf("Log2(2^%d) = %v", n, got)
		}
	}
}
