package requests

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"orrery/traces"
)

// Format is an importer of one dataset's files.
type Format interface {
	// Info describes the format. It is constant.
	Info() traces.Info
	// Detect says whether a file looks like this format: path as the user gave it, head at most 64 KiB of its plain text.
	Detect(path string, head []byte) bool
	// Open returns the requests of the input as a stream: it does not read ahead more than it must.
	Open(in traces.Input, o StreamOptions) (Source, error)
}

// Options say how to open a trace.
type Options struct {
	Formats []Format          // importers to choose from besides the canonical format; formats.All()
	Format  string            // name of the format; "" = find out from the first lines and the name
	Set     map[string]string // options of the format, e.g. smooth=none
	SkipBad bool              // leave malformed rows out and count them in Header.Skipped instead of failing
	// Reorder is how many requests are held back to put a file in order whose rows are not, at most ReorderMax. 0 = time
	// going back is an error.
	Reorder int
}

// Open opens a trace file, compressed or not. The error is an *traces.Errors.
func Open(path string, opts Options) (Source, error) {
	plain, closer, err := traces.OpenPlain(path)
	if err != nil {
		return nil, err
	}
	return opened(plain, closer, path, opts)
}

// OpenReader is Open for a stream; name stands for the path.
func OpenReader(r io.Reader, name string, opts Options) (Source, error) {
	plain, closer, err := traces.Decompress(r)
	if err != nil {
		return nil, one(traces.ReadProblem(name, 0, err))
	}
	return opened(plain, closer, name, opts)
}

func opened(plain *bufio.Reader, closer io.Closer, name string, opts Options) (Source, error) {
	src, err := openPlain(plain, name, opts)
	if err != nil {
		if also := closer.Close(); also != nil {
			err = errors.Join(err, also)
		}
		return nil, err
	}
	return &closing{src, closer}, nil
}

func openPlain(plain *bufio.Reader, name string, opts Options) (Source, error) {
	if opts.Reorder < 0 || opts.Reorder > ReorderMax {
		return nil, one(traces.Problem{Code: traces.CodeValue, Message: fmt.Sprintf("reorder is %d", opts.Reorder),
			Fix: fmt.Sprintf("write a number of rows from 0 to %d", ReorderMax)})
	}
	o := StreamOptions{Path: name, SkipBad: opts.SkipBad, Reorder: opts.Reorder}
	format, canonical, err := traces.Choose(plain, name, choice(opts))
	if err != nil {
		return nil, err
	}
	if canonical {
		if len(opts.Set) > 0 {
			return nil, one(traces.Problem{File: name, Code: traces.CodeUnknown,
				Message: "the canonical format has no options", Fix: "leave the format options out"})
		}
		return openCanonical(plain, name, o)
	}
	in := traces.Input{Path: name, Reader: plain, SkipBad: opts.SkipBad}
	if in.Set, err = traces.Settings(format.Info(), opts.Set); err != nil {
		return nil, err
	}
	return format.Open(in, o)
}

func choice(opts Options) traces.Choice[Format] {
	return traces.Choice[Format]{Formats: opts.Formats, Named: opts.Format, Canonical: Canonical,
		IsCanonical: IsCanonical,
		Or:          "or write a header and a line of JSON for each request (traces/README.md)"}
}

// Recognise says whether a file is a request trace rather than one of jobs: by the name of the format when that is
// given, else by its first bytes. The error is an *traces.Errors.
func Recognise(path string, opts Options) (bool, error) {
	if opts.Format != "" {
		return opts.Format == Canonical || slices.ContainsFunc(opts.Formats, func(f Format) bool {
			return f.Info().Name == opts.Format
		}), nil
	}
	plain, closer, err := traces.OpenPlain(path)
	if err != nil {
		return false, err
	}
	head, err := traces.Head(plain, path)
	if err != nil {
		return false, errors.Join(err, closer.Close())
	}
	found := IsCanonical(head) || slices.ContainsFunc(opts.Formats, func(f Format) bool { return f.Detect(path, head) })
	return found, closer.Close()
}

// closing closes more than the source itself.
type closing struct {
	Source
	more io.Closer
}

func (c *closing) Close() error {
	err := c.Source.Close()
	if c.more != nil {
		err = errors.Join(err, c.more.Close())
		c.more = nil
	}
	return err
}
