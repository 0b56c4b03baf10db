// Package exact holds the few transcendental functions that the models need, computed from additions and
// multiplications that round one by one. The standard library's are written in assembly on some processors, so that
// their last bit differs between machines; a run's result must not.
package exact

import "math"

// Log2 returns the binary logarithm of x, which must be above 0 and finite.
func Log2(x float64) float64 {
	frac, exp := math.Frexp(x) // x = frac × 2^exp, 0.5 ≤ frac < 1
	if frac < math.Sqrt2/2 {
		frac *= 2
		exp--
	}
	// ln(frac) = 2 (z + z³/3 + z⁵/5 + …) with |z| < 0.172: 12 terms are exact to the last bits.
	z := (frac - 1) / (frac + 1)
	zz := float64(z * z)
	sum := 0.0
	for k := 23; k >= 1; k -= 2 {
		sum = float64(sum*zz) + 1/float64(k)
	}
	return float64(exp) + float64(2*z*sum/math.Ln2)
}

// Exp2 returns 2 to the power of x.
func Exp2(x float64) float64 {
	whole := math.Floor(x)
	t := float64((x - whole) * math.Ln2)
	sum := 1.0
	for k := 20; k >= 1; k-- {
		sum = 1 + float64(float64(t*sum)/float64(k))
	}
	return math.Ldexp(sum, int(whole))
}

// Log returns the natural logarithm of x, which must be above 0 and finite.
func Log(x float64) float64 { return float64(Log2(x) * math.Ln2) }
