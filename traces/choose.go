package traces

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Detector is what all importers have, whatever they import.
type Detector interface {
	Info() Info
	Detect(path string, head []byte) bool
}

// Choice is what Choose picks from.
type Choice[F Detector] struct {
	Formats     []F
	Named       string                 // the user's word for the format; "" = find out
	Canonical   string                 // name of the canonical format
	IsCanonical func(head []byte) bool // says whether a file's first bytes are those of the canonical format
	Also        []string               // names of formats of other kinds of traces that the caller reads, for messages
	Or          string                 // what else to do about a file of no known format
}

// Choose returns the importer for a file, or canonical for the canonical format. plain is not advanced; name stands for
// the path. The error is an *Errors.
func Choose[F Detector](plain *bufio.Reader, name string, c Choice[F]) (format F, canonical bool, err error) {
	names := []string{c.Canonical}
	for _, f := range c.Formats {
		names = append(names, f.Info().Name)
	}
	if c.Named != "" {
		i := slices.Index(names, c.Named)
		switch {
		case i < 0:
			return format, false, failed(Problem{File: name, Code: CodeUnknown,
				Message: fmt.Sprintf("unknown format %q", c.Named),
				Fix:     "formats: " + strings.Join(append(names, c.Also...), ", ")})
		case i == 0:
			return format, true, nil
		}
		return c.Formats[i-1], false, nil
	}
	head, err := Head(plain, name)
	if err != nil {
		return format, false, err
	}
	if c.IsCanonical(head) {
		return format, true, nil
	}
	var found []F
	var foundNames []string
	for _, f := range c.Formats {
		if f.Detect(name, head) {
			found, foundNames = append(found, f), append(foundNames, f.Info().Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], false, nil
	case 0:
		line, _, _ := strings.Cut(string(head), "\n")
		return format, false, failed(Problem{File: name, Line: 1, Code: CodeFormat,
			Message: fmt.Sprintf("no known format starts like this: %q", Shorten(strings.TrimSpace(line))),
			Fix:     "name the format: " + strings.Join(names, ", ") + "; " + c.Or})
	}
	return format, false, failed(Problem{File: name, Code: CodeFormat,
		Message: "more than one format fits: " + strings.Join(foundNames, ", "), Fix: "name one of them"})
}

// Head returns the first bytes of a file, at most 64 KiB and at least one, without advancing plain. The error is an
// *Errors.
func Head(plain *bufio.Reader, name string) ([]byte, error) {
	head, err := plain.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, failed(ReadProblem(name, 0, err))
	}
	if len(head) == 0 {
		return nil, failed(Problem{File: name, Code: CodeEmpty, Message: "the file is empty", Fix: "name a trace file"})
	}
	return head, nil
}

// Settings completes the user's format options with the defaults and refuses what the format does not have. The error
// is an *Errors.
func Settings(info Info, set map[string]string) (map[string]string, error) {
	var errs Errors
	out := map[string]string{}
	var keys []string
	for _, o := range info.Options {
		keys = append(keys, o.Key)
		out[o.Key] = o.Default
		v, ok := set[o.Key]
		if !ok {
			continue
		}
		out[o.Key] = v
		if len(o.Values) > 0 && !slices.Contains(o.Values, v) {
			errs.Add(Problem{Code: CodeValue, Message: fmt.Sprintf("option %s of format %s is %q", o.Key, info.Name, v),
				Fix: "write one of " + strings.Join(o.Values, ", ")})
		}
	}
	for _, k := range sortedKeys(set) {
		if !slices.Contains(keys, k) {
			fix := fmt.Sprintf("format %s has no options", info.Name)
			if len(keys) > 0 {
				fix = "options: " + strings.Join(keys, ", ")
			}
			errs.Add(Problem{Code: CodeUnknown, Message: fmt.Sprintf("format %s has no option %q", info.Name, k), Fix: fix})
		}
	}
	return out, errs.Err()
}
