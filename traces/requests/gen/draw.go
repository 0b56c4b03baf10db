package gen

import (
	"math"
	"math/rand/v2"
	"slices"

	"orrery/sim/model/exact"
)

// The draws below use additions, multiplications, square roots and package exact only, so that a trace is the same on
// every machine.

// exponential draws from the exponential distribution of mean 1.
func exponential(rng *rand.Rand) float64 { return -exact.Log(1 - rng.Float64()) }

// normal draws from the standard normal distribution by inversion.
func normal(rng *rand.Rand) float64 {
	return normalQuantile((float64(rng.Uint64()>>12) + 0.5) / (1 << 52))
}

// Coefficients of P. J. Acklam's rational approximation of the normal quantile (2003), relative error below 1.2e-9.
var (
	tailTop = []float64{-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838,
		-2.549732539343734, 4.374664141464968, 2.938163982698783}
	tailBottom = []float64{7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996, 3.754408661907416, 1}
	midTop     = []float64{-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02,
		1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239}
	midBottom = []float64{-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
		6.680131188771972e+01, -1.328068155288572e+01, 1}
)

func polynomial(c []float64, x float64) float64 {
	sum := 0.0
	for _, f := range c {
		sum = float64(sum*x) + f
	}
	return sum
}

// normalQuantile is the inverse of the standard normal distribution function, for 0 < p < 1.
func normalQuantile(p float64) float64 {
	const low = 0.02425
	switch {
	case p < low:
		q := math.Sqrt(-2 * exact.Log(p))
		return polynomial(tailTop, q) / polynomial(tailBottom, q)
	case p > 1-low:
		q := math.Sqrt(-2 * exact.Log(1-p))
		return -polynomial(tailTop, q) / polynomial(tailBottom, q)
	}
	q := p - 0.5
	r := float64(q * q)
	return float64(polynomial(midTop, r)*q) / polynomial(midBottom, r)
}

// z99 is the 99 % quantile of the standard normal distribution.
var z99 = normalQuantile(0.99)

// gamma draws from the gamma distribution of mean 1 and the given shape (Marsaglia and Tsang, ACM TOMS 26, 2000).
func gamma(rng *rand.Rand, shape float64) float64 {
	k, boost := shape, 1.0
	if k < 1 {
		u := (float64(rng.Uint64()>>12) + 0.5) / (1 << 52)
		boost = exact.Exp2(max(exact.Log2(u)/k, -1000))
		k++
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := normal(rng)
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = float64(float64(v*v) * v)
		u := (float64(rng.Uint64()>>12) + 0.5) / (1 << 52)
		if exact.Log(u) < float64(0.5*float64(x*x))+d-float64(d*v)+float64(d*exact.Log(v)) {
			return float64(float64(d*v)*boost) / shape
		}
	}
}

// spread is a distribution by the logarithm over the normal quantile: a polygon.
type spread struct {
	z, log []float64
	lo, hi float64
}

// extreme is the quantile for which the least and the most of a table stand, in standard deviations.
const extreme = 4

func (t Tokens) spread() spread {
	s := spread{lo: max(float64(t.Min), 1), hi: inf}
	if t.Max > 0 {
		s.hi = float64(t.Max)
	}
	switch {
	case t.Fixed > 0:
		s.z, s.log = []float64{0}, []float64{exact.Log2(float64(t.Fixed))}
		s.lo, s.hi = float64(t.Fixed), float64(t.Fixed)
	case t.Median > 0:
		s.add(0, t.Median)
		s.add(z99, t.P99)
	}
	for _, q := range t.Quantiles {
		switch q.At {
		case 0:
			s.add(-extreme, q.Tokens)
			s.lo = max(s.lo, q.Tokens)
		case 1:
			s.add(extreme, q.Tokens)
			s.hi = min(s.hi, q.Tokens)
		default:
			s.add(normalQuantile(q.At), q.Tokens)
		}
	}
	return s
}

func (s *spread) add(z, value float64) {
	s.z, s.log = append(s.z, z), append(s.log, exact.Log2(value))
}

// at returns the value at a normal quantile, between the bounds.
func (s *spread) at(z float64) float64 {
	if len(s.z) == 1 {
		return s.lo
	}
	i, _ := slices.BinarySearch(s.z, z)
	i = min(max(i, 1), len(s.z)-1)
	slope := (s.log[i] - s.log[i-1]) / (s.z[i] - s.z[i-1])
	log := s.log[i-1] + float64(slope*(z-s.z[i-1]))
	return min(max(exact.Exp2(min(log, 40)), s.lo), s.hi)
}
