package traces

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
)

// Source is a stream of jobs in order of Submit.
type Source interface {
	// Header describes the trace. Its Skipped and Notes are complete once Next has returned io.EOF.
	Header() Header
	// Next returns the next job, io.EOF after the last, or an error after which the source is of no more use. What is
	// wrong with the input is an *Errors that holds every problem of it, not only the first.
	Next() (Job, error)
	// Close frees what the source holds. It is safe to call it twice.
	Close() error
}

// Canonical is the name of this package's own format.
const Canonical = "canonical"

// Options say how to open a trace.
type Options struct {
	Formats []Format          // importers to choose from besides the canonical format; formats.All()
	Format  string            // name of the format; "" = find out from the first lines and the name
	Set     map[string]string // options of the format, e.g. kalos=true
	Also    []string          // names of formats of other kinds of traces that the caller reads, for messages
	SkipBad bool              // leave malformed rows out and count them in Header.Skipped instead of failing
}

// Format is an importer of one dataset's files.
type Format interface {
	// Info describes the format. It is constant.
	Info() Info
	// Detect says whether a file looks like this format: path as the user gave it, head at most 64 KiB of its plain text.
	Detect(path string, head []byte) bool
	// Open reads the input. It may read all of it before it returns; it must not keep the reader after Close.
	Open(in Input) (Source, error)
}

// Info describes a format.
type Info struct {
	Name     string // short, lower case, no spaces
	Summary  string // one line
	Licence  string // of the dataset
	Citation string // paper and repository
	Options  []Option
}

// Option is a setting of a format.
type Option struct {
	Key, Default string
	Values       []string // allowed values; empty = any text
	Meaning      string
}

// Input is what an importer reads.
type Input struct {
	Path    string            // as the user named it; for messages and for what a name gives away
	Reader  io.Reader         // plain text, decompressed, no byte-order mark
	Set     map[string]string // options; every key of Info.Options is there
	SkipBad bool
}

// Open opens a trace file, compressed or not. The error is an *Errors.
func Open(path string, opts Options) (Source, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	src, err := OpenReader(f, path, opts)
	if err != nil {
		return nil, alsoClose(err, f)
	}
	return &closing{src, []io.Closer{f}}, nil
}

// OpenReader is Open for a stream; name stands for the path.
func OpenReader(r io.Reader, name string, opts Options) (Source, error) {
	plain, closer, err := Decompress(r)
	if err != nil {
		return nil, failed(ReadProblem(name, 0, err))
	}
	src, err := openPlain(plain, name, opts)
	if err != nil {
		return nil, alsoClose(err, closer)
	}
	return &closing{src, []io.Closer{closer}}, nil
}

// NewReader reads a canonical trace, compressed or not, strictly. name stands for the file in messages.
func NewReader(r io.Reader, name string) (Source, error) {
	return OpenReader(r, name, Options{Format: Canonical})
}

func openPlain(plain *bufio.Reader, name string, opts Options) (Source, error) {
	in := Input{Path: name, Reader: plain, SkipBad: opts.SkipBad}
	format, err := choose(plain, name, opts)
	if err != nil {
		return nil, err
	}
	if format == nil {
		if len(opts.Set) > 0 {
			return nil, failed(Problem{File: name, Code: CodeUnknown, Message: "the canonical format has no options",
				Fix: "leave the format options out"})
		}
		return newCanonical(plain, name, opts.SkipBad)
	}
	if in.Set, err = Settings(format.Info(), opts.Set); err != nil {
		return nil, err
	}
	return format.Open(in)
}

// choose returns the importer to use, nil for the canonical format.
func choose(plain *bufio.Reader, name string, opts Options) (Format, error) {
	if len(opts.Formats) == 0 && opts.Format == "" {
		return nil, nil
	}
	or := "or write a header and a line of JSON for each job (traces/README.md)"
	if len(opts.Also) > 0 {
		or = "of requests: " + strings.Join(opts.Also, ", ") + "; " + or
	}
	f, canonical, err := Choose(plain, name, Choice[Format]{Formats: opts.Formats, Named: opts.Format,
		Canonical: Canonical, IsCanonical: looksCanonical, Also: opts.Also,
		Or: or})
	if canonical || err != nil {
		return nil, err
	}
	return f, nil
}

// failed is an *Errors of one problem.
func failed(p Problem) error { return &Errors{Problems: []Problem{p}, Count: 1} }

func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, failed(Problem{File: path, Code: CodeIO, Message: err.Error(),
			Fix: "name a file that is there and may be read"})
	}
	return f, nil
}

// OpenPlain opens a file, compressed or not, and returns its plain text. The error is an *Errors.
func OpenPlain(path string) (*bufio.Reader, io.Closer, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	plain, closer, err := Decompress(f)
	if err != nil {
		return nil, nil, alsoClose(failed(ReadProblem(path, 0, err)), f)
	}
	return plain, closers{closer, f}, nil
}

// closers closes several things.
type closers []io.Closer

func (c closers) Close() error {
	var err error
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}

// alsoClose closes c after err and joins what that says, if anything.
func alsoClose(err error, c io.Closer) error {
	if also := c.Close(); also != nil {
		return errors.Join(err, also)
	}
	return err
}

// closing closes more than the source itself.
type closing struct {
	Source
	more []io.Closer
}

func (c *closing) Close() error {
	err := c.Source.Close()
	for _, m := range c.more {
		err = errors.Join(err, m.Close())
	}
	c.more = nil
	return err
}

// ReadPlain opens a file that belongs to a dataset but holds no jobs, such as a list of nodes, and hands its plain text
// to read. The error is an *Errors.
func ReadPlain(path string, read func(Input) error) error {
	plain, closer, err := OpenPlain(path)
	if err != nil {
		return err
	}
	return errors.Join(read(Input{Path: path, Reader: plain}), closer.Close())
}
