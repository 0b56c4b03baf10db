package requests

import (
	"errors"
	"io"

	"orrery/traces"
)

// Validate reads the whole trace and returns nil when nothing is wrong with it, else an *traces.Errors with every
// problem.
func Validate(path string, opts Options) error {
	_, _, err := count(path, opts)
	return err
}

// count reads a trace to its end and returns its complete header.
func count(path string, opts Options) (Header, int64, error) {
	src, err := Open(path, opts)
	if err != nil {
		return Header{}, 0, err
	}
	var n int64
	for {
		_, err := src.Next()
		if err == io.EOF {
			return src.Header(), n, src.Close()
		}
		if err != nil {
			if also := src.Close(); also != nil {
				err = errors.Join(err, also)
			}
			return Header{}, n, err
		}
		n++
	}
}

// ConvertOptions say how to read the input and what may happen to the output.
type ConvertOptions struct {
	Options
	Overwrite bool // replace an existing output
	// Change is applied to the source, e.g. to clip it; nil = nothing.
	Change func(Source) (Source, error)
}

// Converted says what was written.
type Converted struct {
	Header   Header
	Requests int64
}

// Convert reads the trace at in, of any format, and writes it to out as a canonical trace, compressed as out's name
// says (.zst, .gz, or plain). Out appears whole or not at all. The input is read twice, so that the header has the
// number of requests and what was skipped and assumed.
func Convert(in, out string, opts ConvertOptions) (Converted, error) {
	if err := traces.MayWrite(out, opts.Overwrite); err != nil {
		return Converted{}, err
	}
	src, err := openChanged(in, opts)
	if err != nil {
		return Converted{}, err
	}
	var n int64
	for err == nil {
		if _, err = src.Next(); err == nil {
			n++
		}
	}
	header := src.Header()
	header.Requests = n
	also := src.Close()
	if err != io.EOF || also != nil {
		return Converted{}, errors.Join(dropEnd(err), also)
	}
	if src, err = openChanged(in, opts); err != nil {
		return Converted{}, err
	}
	_, err = WriteFile(out, header, src, opts.Overwrite)
	if also := src.Close(); also != nil {
		err = errors.Join(err, also)
	}
	return Converted{header, n}, err
}

func openChanged(in string, opts ConvertOptions) (Source, error) {
	src, err := Open(in, opts.Options)
	if err != nil || opts.Change == nil {
		return src, err
	}
	changed, err := opts.Change(src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return changed, nil
}

func dropEnd(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
