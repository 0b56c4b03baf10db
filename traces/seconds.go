package traces

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxTime is the longest time a trace may hold, 100 years of 365.25 days: long enough for any trace, and short enough
// that a submission, a wait and a run can be added in 64-bit nanoseconds without overflow.
const MaxTime = 36525 * 24 * time.Hour

var errSeconds = errors.New("not a plain decimal number of seconds with at most 9 digits after the point")

// ParseSeconds reads a non-negative plain decimal number of seconds ("12", "0.5", at most 9 digits after the point, no
// sign, no exponent) exactly into nanoseconds. Values above MaxTime are errors.
func ParseSeconds(s string) (time.Duration, error) {
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(frac) || len(frac) > 9 {
		return 0, fmt.Errorf("%q is %w", Shorten(s), errSeconds)
	}
	const secondsMax = uint64(MaxTime / time.Second)
	sec, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || sec > secondsMax {
		return 0, fmt.Errorf("%q seconds is more than 100 years", Shorten(s))
	}
	var ns uint64
	for i := range 9 {
		ns *= 10
		if i < len(frac) {
			ns += uint64(frac[i] - '0')
		}
	}
	d := time.Duration(sec)*time.Second + time.Duration(ns)
	if d > MaxTime {
		return 0, fmt.Errorf("%q seconds is more than 100 years", Shorten(s))
	}
	return d, nil
}

// AppendSeconds appends d, which must not be negative, as the shortest text that ParseSeconds reads back to d.
func AppendSeconds(b []byte, d time.Duration) []byte {
	b = strconv.AppendInt(b, int64(d/time.Second), 10)
	ns := int64(d % time.Second)
	if ns == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(100_000_000); ns > 0; unit /= 10 {
		b = append(b, byte('0'+ns/unit))
		ns %= unit
	}
	return b
}

// FormatSeconds is AppendSeconds as a string.
func FormatSeconds(d time.Duration) string { return string(AppendSeconds(nil, d)) }

func digits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Shorten keeps a value that a message quotes readable.
func Shorten(s string) string {
	const keep = 60
	if len(s) <= keep {
		return s
	}
	return s[:keep] + "…"
}
