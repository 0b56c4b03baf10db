package gen

import (
	"math"
	"time"
)

// Bounds of a lognormal's sigma. Job lengths of real traces have 1 to 3.
const (
	sigmaMin = 0.01
	sigmaMax = 8.0
)

func (d Component) weight() float64 {
	if d.Weight == 0 {
		return 1
	}
	return d.Weight
}

func (d Component) min() time.Duration {
	if d.Min == 0 {
		return time.Second
	}
	return d.Min
}

// sampler draws lengths of one component in seconds.
type sampler struct {
	quantile func(u float64) float64 // inverse distribution function, u in [0, 1)
	mean     float64
	lo, hi   float64
}

func (d Component) sampler() sampler {
	lo, hi := d.min().Seconds(), d.Max.Seconds()
	s := sampler{lo: lo, hi: hi}
	if d.Kind == Pareto {
		a := d.Alpha
		top := 1 - math.Pow(lo/hi, a) // the share of the uncut distribution below max
		s.quantile = func(u float64) float64 { return lo * math.Pow(1-u*top, -1/a) }
		s.mean = paretoMean(lo, hi, a)
		return s
	}
	if d.Kind == Exponential {
		m := d.Mean.Seconds()
		from, to := math.Exp(-lo/m), math.Exp(-hi/m) // shares of the uncut distribution above min and max
		s.quantile = func(u float64) float64 { return -m * math.Log(from-u*(from-to)) }
		s.mean = m + (lo*from-hi*to)/(from-to)
		return s
	}
	sigma := d.Sigma
	if sigma == 0 {
		sigma = d.fitSigma()
	}
	mu := fitMu(math.Log(d.Median.Seconds()), sigma, math.Log(lo), math.Log(hi))
	from, to := phi((math.Log(lo)-mu)/sigma), phi((math.Log(hi)-mu)/sigma)
	s.quantile = func(u float64) float64 { return math.Exp(mu + sigma*phiInverse(from+u*(to-from))) }
	s.mean = lognormalMean(mu, sigma, math.Log(lo), math.Log(hi))
	return s
}

// at returns the length at quantile u, inside the component's bounds whatever rounding does.
func (s sampler) at(u float64) float64 { return min(max(s.quantile(u), s.lo), s.hi) }

// paretoMean is the mean of a Pareto distribution of scale lo and index a, cut at hi.
func paretoMean(lo, hi, a float64) float64 {
	top := 1 - math.Pow(lo/hi, a)
	if math.Abs(a-1) < 1e-9 {
		return lo * math.Log(hi/lo) / top
	}
	return a / (a - 1) * lo * (1 - math.Pow(lo/hi, a-1)) / top
}

// phi is the standard normal distribution function, phiInverse its inverse.
func phi(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

func phiInverse(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }

// lognormalMean is the mean of exp(N(mu, sigma)) cut to logarithms in [a, b].
func lognormalMean(mu, sigma, a, b float64) float64 {
	inside := phi((b-mu)/sigma) - phi((a-mu)/sigma)
	shifted := phi((b-mu)/sigma-sigma) - phi((a-mu)/sigma-sigma)
	return math.Exp(mu+sigma*sigma/2) * shifted / inside
}

// bisections halve an interval as often as a float64 has bits.
const bisections = 64

// fitMu finds mu such that the cut distribution has the median exp(m).
func fitMu(m, sigma, a, b float64) float64 {
	// The median of the cut distribution rises with mu from a to b.
	lo, hi := m-30*sigma, m+30*sigma // further out the tails are 0 in a float64
	below := func(mu float64) bool { // is the cut median below m?
		x, y, z := (a-mu)/sigma, (m-mu)/sigma, (b-mu)/sigma
		if y > 0 { // take the tail in which the differences keep their digits
			return phi(-x)-phi(-y) > phi(-y)-phi(-z)
		}
		return phi(y)-phi(x) > phi(z)-phi(y)
	}
	for range bisections {
		if mid := (lo + hi) / 2; below(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// fitSigma finds the sigma with which the cut distribution has the wanted mean at the wanted median.
func (d Component) fitSigma() float64 {
	lo, hi := sigmaMin, sigmaMax
	for range bisections {
		if mid := (lo + hi) / 2; d.meanAt(mid) < d.Mean.Seconds() {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

func (d Component) meanAt(sigma float64) float64 {
	a, b := math.Log(d.min().Seconds()), math.Log(d.Max.Seconds())
	return lognormalMean(fitMu(math.Log(d.Median.Seconds()), sigma, a, b), sigma, a, b)
}

// meanRange returns the means that fitSigma can reach.
func (d Component) meanRange() (low, high float64) { return d.meanAt(sigmaMin), d.meanAt(sigmaMax) }
