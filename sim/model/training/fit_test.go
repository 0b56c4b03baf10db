package training

import (
	"flag"
	"testing"
)

var refit = flag.Bool("refit", false, "search the global parameters anew and print them and every row")

func TestRefit(t *testing.T) {
	if !*refit {
		t.Skip("with -refit only")
	}
	par := search(fitted)
	t.Logf("%+v", par)
}

// search is a coordinate descent on the mean absolute error of the rows to fit.
func search(par parameters) parameters {
	cost := func(p parameters) float64 {
		a, _, n := mean(p, func(r *row) bool { return !r.moe() && r.Use == "fit" })
		b, _, m := mean(p, func(r *row) bool { return r.moe() && r.Use == "fit" })
		return a*float64(n) + b*float64(m)
	}
	best := cost(par)
	for step := 0.2; step > 0.004; step /= 2 {
		for again := true; again; {
			again = false
			for _, k := range []int{0, 2, 3, 4, 5, 6} {
				for _, f := range []float64{1 + step, 1 - step} {
					try := par
					v := []*float64{&try.gemm, &try.attention, &try.wide, &try.tensor, &try.narrow, &try.expert, &try.data}[k]
					lo, hi := []float64{0.8, 0.3, 50, 0.3, 10, 0.02, 0.5}[k], []float64{0.92, 0.9, 900, 0.9, 20000, 0.9, 0.8}[k]
					*v = min(hi, max(lo, *v*f))
					if c := cost(try); c < best-1e-9 {
						best, par, again = c, try, true
					}
				}
			}
		}
	}
	return par
}
