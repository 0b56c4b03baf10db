package gen

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"orrery/traces"
)

// Duration is a length of time, written like 90s, 1h30m or 30d.
type Duration time.Duration

// UnmarshalText reads Go's durations with d for days, at most 100 years.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	bad := fmt.Errorf("%q is not a length of time; write it like 90s, 1h30m or 30d, at most 36525d", s)
	total, rest := time.Duration(0), s
	if days, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > uint64(traces.MaxTime/day) {
			return bad
		}
		total, rest = time.Duration(n)*day, after
	}
	if rest != "" || s == "" {
		part, err := time.ParseDuration(rest)
		if err != nil || part < 0 || part > traces.MaxTime {
			return bad
		}
		total += part
	}
	if total > traces.MaxTime {
		return bad
	}
	*d = Duration(total)
	return nil
}

// MarshalText writes the length so that UnmarshalText reads the same.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }

func (d Duration) seconds() float64 { return time.Duration(d).Seconds() }
