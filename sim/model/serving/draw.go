package serving

import (
	"math"
	"math/rand/v2"

	"orrery/sim/model/exact"
)

// exponential draws from the exponential distribution with mean 1.
func exponential(r *rand.Rand) float64 { return -exact.Log(1 - r.Float64()) }

// normal draws from the standard normal distribution by the polar method (Marsaglia and Bray, SIAM Review 6, 1964).
func normal(r *rand.Rand) float64 {
	for {
		x, y := float64(2*r.Float64())-1, float64(2*r.Float64())-1
		s := float64(x*x) + float64(y*y)
		if s > 0 && s < 1 {
			return float64(x * math.Sqrt(-2*exact.Log(s)/s))
		}
	}
}

// gamma draws from the gamma distribution with a shape and scale 1 (Marsaglia and Tsang, ACM Transactions on
// Mathematical Software 26, 2000).
func gamma(r *rand.Rand, shape float64) float64 {
	boost := 1.0
	if shape < 1 {
		boost = exact.Exp2(exact.Log2(1-r.Float64()) / shape)
		shape++
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := normal(r)
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = float64(v * v * v)
		u := 1 - r.Float64()
		if exact.Log(u) < float64(x*x/2)+float64(d*(1-v+exact.Log(v))) {
			return float64(d * v * boost)
		}
	}
}
