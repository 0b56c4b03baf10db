package scenarios

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"orrery/sim/strict"
	"orrery/sim/units"
)

// Duration is a span of simulated time, written like 90s, 1h30m or 30d, on the engine's grid.
type Duration units.Duration

const (
	day = 24 * time.Hour
	// durationMax keeps instants of a run far from the end of int64 nanoseconds (292 years).
	durationMax = 100 * 365 * day
)

// UnmarshalText reads Go's durations with d for days, at most 100 years.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	total, rest := time.Duration(0), s
	if days, after, ok := strings.Cut(s, "d"); ok {
		f, err := strconv.ParseFloat(days, 64)
		if err != nil || !(f >= 0 && f <= float64(durationMax/day)) {
			return fmt.Errorf("%q is not a duration; write it like 90s, 1h30m or 30d, at most 36500d", s)
		}
		total, rest = units.FromSeconds(f*day.Seconds()), after
	}
	if rest != "" {
		part, err := time.ParseDuration(rest)
		if err != nil || part < 0 || part > durationMax {
			return fmt.Errorf("%q is not a duration; write it like 90s, 1h30m or 30d, at most 36500d", s)
		}
		total += part
	}
	switch {
	case s == "":
		return errors.New("is empty; write a duration like 90s, 1h30m or 30d, or remove the line")
	case total > durationMax:
		return fmt.Errorf("%q is longer than 36500d; write less", s)
	case total%units.Tick != 0:
		return fmt.Errorf("%q is finer than a microsecond; write whole microseconds", s)
	}
	*d = Duration(total)
	return nil
}

// String writes the duration so that UnmarshalText reads the same.
func (d Duration) String() string {
	span := time.Duration(d)
	if span >= day {
		if span%day == 0 {
			return fmt.Sprintf("%dd", span/day)
		}
		return fmt.Sprintf("%dd%s", span/day, short(span%day))
	}
	return short(span)
}

// short is time.Duration.String without parts that are 0.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalYAML writes the text form.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// Time is a wall time in UTC, to the second.
type Time time.Time

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(text))
	if err != nil || parsed.Nanosecond() != 0 || parsed.UTC().Year() < 1970 || parsed.UTC().Year() > 2200 {
		return fmt.Errorf("%q is not an instant from 1970 to 2200 in whole seconds; "+
			"write it like 2030-01-01T00:00:00Z", text)
	}
	*t = Time(parsed.UTC())
	return nil
}

// MarshalYAML writes RFC 3339 in UTC.
func (t Time) MarshalYAML() (any, error) { return time.Time(t).UTC().Format(time.RFC3339), nil }

// CPU is an amount of CPU in thousandths of a core, written like 96, 0.5 or 500m.
type CPU int64

// UnmarshalText reads Kubernetes' cpu quantities, whole thousandths of a core, more than 0.
func (c *CPU) UnmarshalText(text []byte) error {
	s, factor := string(text), int64(1000)
	if number, ok := strings.CutSuffix(s, "m"); ok {
		s, factor = number, 1
	}
	if n, exact := scaled(s, factor, 1); exact && n > 0 && n <= 1e9 {
		*c = CPU(n)
		return nil
	}
	return fmt.Errorf("%q is not an amount of CPU; write cores like 96 or 0.5, or thousandths like 500m", text)
}

// MarshalYAML writes cores when they are whole, else thousandths.
func (c CPU) MarshalYAML() (any, error) {
	if c%1000 == 0 {
		return strconv.FormatInt(int64(c)/1000, 10), nil
	}
	return strconv.FormatInt(int64(c), 10) + "m", nil
}

// Memory is an amount of memory in MiB, written like 512Gi, 1Ti or 64G.
type Memory int64

// memoryUnits are the suffixes of Kubernetes' quantities in bytes, longest first.
var memoryUnits = []struct {
	suffix string
	bytes  int64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12},
}

// UnmarshalText reads Kubernetes' memory quantities of at least 1 MiB; a part of a MiB is cut off.
func (m *Memory) UnmarshalText(text []byte) error {
	s := string(text)
	for _, u := range memoryUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			if n, _ := scaled(number, u.bytes, 1<<20); n >= 1 && n < 1<<40 {
				*m = Memory(n)
				return nil
			}
			break
		}
	}
	return fmt.Errorf("%q is not an amount of memory of at least 1Mi; write it with its unit: 512Gi, 1Ti or 64G", text)
}

// MarshalYAML writes the largest unit that is whole.
func (m Memory) MarshalYAML() (any, error) {
	if m%(1<<20) == 0 {
		return fmt.Sprintf("%dTi", m>>20), nil
	}
	if m%(1<<10) == 0 {
		return fmt.Sprintf("%dGi", m>>10), nil
	}
	return fmt.Sprintf("%dMi", m), nil
}

// scaled returns a decimal number × mul ÷ div rounded down, and whether it is exact. A malformed or huge one gives -1.
func scaled(number string, mul, div int64) (n int64, exact bool) {
	if number == "" || len(number) > 30 || strings.Trim(number, "0123456789.") != "" {
		return -1, false
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return -1, false
	}
	r.Mul(r, big.NewRat(mul, div))
	q := new(big.Int).Quo(r.Num(), r.Denom())
	if !q.IsInt64() || q.Int64() == math.MaxInt64 {
		return -1, false
	}
	return q.Int64(), r.IsInt()
}

// File is a file of the user. In YAML it is a path, or the content itself as {name: …, text: …}.
type File struct {
	// Name in messages and results.
	Name string
	// Content.
	Text string

	path string // as written; "" when the content is inline
}

// inline is the YAML form of a file given by its content.
type inline struct {
	Name string `yaml:"name" required:"true" min:"1"`
	Text string `yaml:"text" required:"true"`
}

// DecodeNode takes a path or an inline file; files are read later, by Load.
func (f *File) DecodeNode(d *strict.Doc, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode {
		var in inline
		d.DecodeAt(n, path, &in)
		*f = File{Name: in.Name, Text: in.Text}
		return
	}
	d.DecodeAt(n, path, &f.path)
	if f.path == "" && n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		d.Problemf(path, "%s: the path is empty; name a file or remove the line", path)
	}
	f.Name = f.path
}

// MarshalYAML writes the content inline, so that the result needs no other file.
func (f File) MarshalYAML() (any, error) {
	if !utf8.ValidString(f.Text) {
		return nil, fmt.Errorf("%s is not text in UTF-8", f.Name)
	}
	return inline{f.Name, f.Text}, nil
}
