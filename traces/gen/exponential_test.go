package gen

import (
	"math"
	"testing"
	"time"
)

// TestExponential compares the distribution with its closed forms: bounds, median, and the mean after the cut against
// the integral of the quantile function.
func TestExponential(t *testing.T) {
	for name, d := range map[string]Component{
		"uncut": {Kind: Exponential, Mean: time.Hour, Min: time.Millisecond, Max: 1000 * time.Hour},
		"cut":   {Kind: Exponential, Mean: time.Hour, Min: 10 * time.Minute, Max: 2 * time.Hour},
		"short": {Kind: Exponential, Mean: time.Minute, Min: time.Hour, Max: 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			c := &checker{}
			d.check(c, "d")
			if err := c.errs.Err(); err != nil {
				t.Fatal(err)
			}
			s := d.sampler()
			near(t, "the smallest length", s.at(0), d.Min.Seconds(), 1e-9)
			const steps = 1_000_000
			sum, last := 0.0, 0.0
			for i := range steps {
				x := s.at((float64(i) + 0.5) / steps)
				if x < last || x > d.Max.Seconds() {
					t.Fatalf("length %v after %v, at most %v", x, last, d.Max.Seconds())
				}
				last = x
				sum += x
			}
			near(t, "the mean", sum/steps, s.mean, 1e-4)
			if name == "uncut" {
				near(t, "the median", s.at(0.5), 3600*math.Ln2, 1e-5)
				near(t, "the mean", s.mean, 3600, 1e-5)
			}
		})
	}
	c := &checker{}
	Component{Kind: Exponential, Mean: time.Nanosecond, Median: time.Hour, Max: time.Hour}.check(c, "d")
	if len(c.errs.Problems) != 2 {
		t.Errorf("want a problem with the mean and one with the median, got %v", c.errs.Err())
	}
}
