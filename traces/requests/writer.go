package requests

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orrery/traces"
)

// lineMax is the longest line that a reader takes.
const lineMax = 256 << 10

// Writer writes a canonical trace that Open accepts: it refuses requests that the reader would refuse.
type Writer struct {
	out     *bufio.Writer
	line    []byte
	header  Header
	count   int64
	last    time.Duration
	refused error
}

// NewWriter writes the header line. h.Format is set; h.Requests, when not 0, must be the number of requests that will
// be written. The error is an *traces.Errors when the header is not valid.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format = FormatVersion
	if problems := checkHeader(h); len(problems) > 0 {
		return nil, &traces.Errors{Problems: problems, Count: len(problems)}
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing the trace header: %w", err)
	}
	if len(line) >= lineMax {
		return nil, one(traces.Problem{Code: traces.CodeHeader, Message: fmt.Sprintf("the header takes %d bytes", len(line)),
			Fix: fmt.Sprintf("keep it below %d bytes", lineMax)})
	}
	out := &Writer{out: bufio.NewWriterSize(w, lineMax), header: h}
	_, err = out.out.Write(append(line, '\n'))
	return out, err
}

// Write writes one request. At must not go backwards. After an error the file is not whole: drop it.
func (w *Writer) Write(r Request) error {
	if w.refused != nil {
		return w.refused
	}
	problems := r.Check(w.header.PrefixTokens)
	if r.At < w.last {
		problems = append(problems, traces.Problem{Code: traces.CodeOrder, Message: fmt.Sprintf(
			"at_seconds goes back from %s to %s", traces.FormatSeconds(w.last), traces.FormatSeconds(r.At)),
			Fix: "sort the requests by time"})
	}
	if len(problems) == 0 {
		w.line = appendRequest(w.line[:0], &r)
		if len(w.line) > lineMax {
			problems = []traces.Problem{{Code: traces.CodeValue, Message: fmt.Sprintf("the line takes %d bytes", len(w.line)),
				Fix: "share prefixes in larger blocks"}}
		}
	}
	if len(problems) > 0 {
		for i := range problems {
			problems[i].Path = fmt.Sprintf("request %d", w.count+1)
		}
		w.refused = &traces.Errors{Problems: problems, Count: len(problems)}
		return w.refused
	}
	w.last = r.At
	w.count++
	_, err := w.out.Write(w.line)
	return err
}

// Requests returns the number of requests written.
func (w *Writer) Requests() int64 { return w.count }

// Close flushes; it does not close the underlying writer. It fails when the header announced another number.
func (w *Writer) Close() error {
	if w.refused != nil {
		return w.refused
	}
	if want := w.header.Requests; want > 0 && want != w.count {
		return one(traces.Problem{Code: traces.CodeTruncated, Message: fmt.Sprintf(
			"the header announces %d requests, %d were written", want, w.count),
			Fix: "correct the header's number of requests, or leave it 0"})
	}
	return w.out.Flush()
}

// appendRequest appends a request that passed Check as one line, newline included. Keys come in a fixed order and those
// that hold their default are left out, so equal requests are equal bytes.
func appendRequest(b []byte, r *Request) []byte {
	b = append(b, `{"at_seconds":`...)
	b = traces.AppendSeconds(b, r.At)
	b = append(b, `,"input":`...)
	b = strconv.AppendInt(b, int64(r.Input), 10)
	b = append(b, `,"output":`...)
	b = strconv.AppendInt(b, int64(r.Output), 10)
	b = appendText(b, `,"service":`, r.Service)
	b = appendText(b, `,"tenant":`, r.Tenant)
	if r.Session != 0 {
		b = append(b, `,"session":`...)
		b = strconv.AppendUint(b, r.Session, 10)
	}
	for i, id := range r.Prefix {
		if i == 0 {
			b = append(b, `,"prefix":[`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, id, 10)
	}
	if len(r.Prefix) > 0 {
		b = append(b, ']')
	}
	return append(b, '}', '\n')
}

// appendText appends a member. The error of AppendQuote is about invalid UTF-8 only, which Check has refused.
func appendText(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	b, _ = jsontext.AppendQuote(append(b, key...), v)
	return b
}

// WriteFile writes the requests of src under the header h to the file path, whole or not at all, compressed as the name
// says (.zst, .gz, or plain). It returns the number of requests and does not close src.
func WriteFile(path string, h Header, src Source, overwrite bool) (int64, error) {
	var n int64
	err := traces.WriteWhole(path, overwrite, func(out io.Writer) error {
		w, err := NewWriter(out, h)
		if err != nil {
			return err
		}
		for {
			r, err := src.Next()
			if err == io.EOF {
				n = w.Requests()
				return w.Close()
			}
			if err != nil {
				return err
			}
			if err := w.Write(r); err != nil {
				return fmt.Errorf("writing %s: %w", path, err)
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
