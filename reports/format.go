package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// absent stands for a number that does not exist, so that no report ever shows what floating point says instead.
const absent = "n/a"

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// rawNumber writes the shortest decimal that reads back as f; never an exponent below 10^21, so that spreadsheets and
// JSON readers agree on it.
func rawNumber(f float64) string {
	if f == 0 {
		return "0" // also for negative zero
	}
	format := byte('f')
	if a := math.Abs(f); a >= 1e21 || a < 1e-9 {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, 64)
}

// group puts commas between the thousands of a decimal integer.
func group(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// FormatCount writes a whole number with thousands separators.
func FormatCount(f float64) string {
	if !finite(f) {
		return absent
	}
	s := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	if s == "-0" {
		s = "0"
	}
	return group(s)
}

// FormatNumber writes a quantity with about three significant digits, or all digits before the point; whole numbers
// without decimals.
func FormatNumber(f float64) string {
	a := math.Abs(f)
	switch {
	case !finite(f):
		return absent
	case f == 0:
		return "0"
	case a >= 1e15:
		return strconv.FormatFloat(f, 'e', 2, 64)
	case a >= 99.95 || math.Abs(f-math.Round(f)) < 1e-9*a:
		return FormatCount(f)
	case a >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case a >= 0.001:
		return strconv.FormatFloat(f, 'f', 3, 64)
	case f < 0:
		return "> -0.001"
	}
	return "< 0.001"
}

// about writes a mean number of things without digits that nobody counts.
func about(f float64) string {
	if math.Abs(f) >= 9.5 {
		return FormatCount(f)
	}
	return FormatNumber(f)
}

// FormatShare writes a fraction as a percentage. It says 0 % and 100 % only where that is exact.
func FormatShare(f float64) string {
	switch {
	case !finite(f):
		return absent
	case f == 0 || f == 1:
		return strconv.Itoa(int(f)*100) + " %"
	case f > 0 && f < 0.0005:
		return "< 0.1 %"
	case f >= 0.985 && f < 0.9995 && math.Abs(float64(f*100)-math.Round(f*100)) < 1e-9: // what somebody wrote
		return FormatCount(f*100) + " %"
	case f > 0 && f < 0.0995, f >= 0.985 && f < 0.9995:
		return strconv.FormatFloat(f*100, 'f', 1, 64) + " %"
	case f >= 0.9995 && f < 1:
		return "> 99.9 %"
	}
	return FormatCount(f*100) + " %"
}

// FormatUSD writes an amount of US dollars: whole dollars from $1,000, cents below.
func FormatUSD(f float64) string {
	if !finite(f) {
		return absent
	}
	sign, a := "", math.Abs(f)
	if f < 0 {
		sign = "-"
	}
	switch {
	case a == 0:
		return "$0"
	case a < 0.005:
		return sign + "< $0.01"
	case a < 999.995:
		return sign + "$" + strconv.FormatFloat(a, 'f', 2, 64)
	case a >= 1e15:
		return sign + "$" + strconv.FormatFloat(a, 'e', 2, 64)
	}
	return sign + "$" + FormatCount(a)
}

// FormatPrice writes what one of something costs: like an amount, but with two significant digits below ten cents.
func FormatPrice(f float64) string {
	a := math.Abs(f)
	if !finite(f) || a == 0 || a >= 0.0995 {
		return shortUSD(f)
	}
	sign := ""
	if f < 0 {
		sign = "-"
	}
	for digits, least := 3, 0.00995; digits <= 6; digits, least = digits+1, least/10 {
		if a >= least {
			return sign + "$" + strconv.FormatFloat(a, 'f', digits, 64)
		}
	}
	return sign + "< $0.00001"
}

// shortUSD writes an amount for narrow places: from ten millions on in millions or billions.
func shortUSD(f float64) string {
	switch a := math.Abs(f); {
	case !finite(f) || a < 1e7 || a >= 1e15:
		return FormatUSD(f)
	case a < 1e9:
		return "$" + strconv.FormatFloat(f/1e6, 'f', 1, 64) + " M"
	}
	return "$" + FormatNumber(f/1e9) + " bn"
}

// shortDuration writes seconds in one unit with up to three digits: "5.3 min".
func shortDuration(s float64) string {
	if !finite(s) || s < 60 || s >= 1e12 {
		return FormatDuration(s)
	}
	for _, u := range []timeUnit{{"d", 86400}, {"h", 3600}, {"min", 60}} {
		if s >= u.seconds {
			return strings.TrimSuffix(strconv.FormatFloat(s/u.seconds, 'f', 1, 64), ".0") + " " + u.name
		}
	}
	return FormatDuration(s)
}

// FormatDuration writes seconds in the largest unit that fits, with the next one where it matters: "2 h 5 min".
func FormatDuration(s float64) string {
	switch a := math.Abs(s); {
	case !finite(s):
		return absent
	case s < 0:
		return "-" + FormatDuration(-s)
	case a == 0:
		return "0 s"
	case a < 0.001:
		return "< 1 ms"
	case a < 0.00995:
		return strconv.FormatFloat(s*1000, 'f', 1, 64) + " ms"
	case a < 0.9995:
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case a < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(s, 'f', 1, 64), ".0") + " s"
	case a < 59.5:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	case a < 3599.5:
		return twoUnits(math.Round(s), 60, "min", "s")
	case a < 86400-30:
		return twoUnits(math.Round(s/60), 60, "h", "min")
	case a < 1e12:
		return twoUnits(math.Round(s/3600), 24, "d", "h")
	}
	return strconv.FormatFloat(s/86400, 'e', 2, 64) + " d"
}

// twoUnits writes n small units as big and small ones; the small ones only where there are any.
func twoUnits(n, perBig float64, big, small string) string {
	b, rest := math.Floor(n/perBig), math.Mod(n, perBig)
	out := FormatCount(b) + " " + big
	if rest > 0 && b < 100 {
		out += " " + strconv.Itoa(int(rest)) + " " + small
	}
	return out
}

// plural writes a count with its noun: "1 job", "2,000 jobs".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return FormatCount(float64(n)) + " " + noun + "s"
}

// was agrees with a count.
func was(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// clip shortens s to at most max runes, the last of them an ellipsis.
func clip(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max-1]) + "…"
}

// oneIn says a share of the GPU time in service as "one GPU-hour in five" where that is close, and as a percentage
// where it is not.
func oneIn(share float64) string {
	if share == 1 {
		return "All GPU time in service"
	}
	names := []string{"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	n := math.Round(1 / share)
	if share > 0 && n >= 2 && n <= 10 && math.Abs(1/n-share) <= 0.05*share {
		return fmt.Sprintf("About one GPU-hour in %s (%s)", names[int(n)-2], FormatShare(share))
	}
	return FormatShare(share) + " of the GPU time in service"
}

// ratio is a ÷ b, and 0 where there is nothing to divide.
func ratio(a, b float64) float64 {
	if b <= 0 || !finite(a) || !finite(b) {
		return 0
	}
	return a / b
}
