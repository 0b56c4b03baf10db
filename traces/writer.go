package traces

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// Writer writes a canonical trace that NewReader accepts: it refuses jobs that the reader would refuse.
type Writer struct {
	out     *bufio.Writer
	line    []byte
	jobs    int64
	want    int64
	last    time.Duration
	seen    idSet
	refused error
}

// NewWriter writes the header line. h.Format and h.Units are set; h.Jobs, when not 0, must be the number of jobs that
// will be written. The error is an *Errors when the header is not valid.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format, h.Units = FormatVersion, StandardUnits()
	if problems := checkHeader(h); len(problems) > 0 {
		return nil, &Errors{Problems: problems, Count: len(problems)}
	}
	out := &Writer{out: bufio.NewWriterSize(w, bufferSize), want: h.Jobs, seen: idSet{}}
	line, err := appendHeader(nil, h)
	if err != nil {
		return nil, fmt.Errorf("writing the trace header: %w", err)
	}
	if len(line) > bufferSize {
		return nil, failed(Problem{Code: CodeHeader, Message: fmt.Sprintf("the header takes %d bytes", len(line)),
			Fix: fmt.Sprintf("keep it below %d bytes", bufferSize)})
	}
	_, err = out.out.Write(line)
	return out, err
}

// Write writes one job. Ids must differ and Submit must not go backwards. After an error the file is not whole: drop
// it.
func (w *Writer) Write(j Job) error {
	if w.refused != nil {
		return w.refused
	}
	problems := j.Check()
	if w.seen.Has(j.ID) {
		problems = append(problems, Problem{Code: CodeDuplicate, Message: "the id was used before",
			Fix: "give every job its own id"})
	}
	if j.Submit < w.last {
		problems = append(problems, Problem{Code: CodeOrder, Message: fmt.Sprintf("submit_s goes back from %s to %s",
			FormatSeconds(w.last), FormatSeconds(j.Submit)), Fix: "sort the jobs by submit_s"})
	}
	if len(problems) > 0 {
		for i := range problems {
			problems[i].Path = fmt.Sprintf("job %q", Shorten(j.ID))
		}
		w.refused = &Errors{Problems: problems, Count: len(problems)}
		return w.refused
	}
	w.seen.Add(j.ID)
	w.last = j.Submit
	w.jobs++
	w.line = appendJob(w.line[:0], &j)
	if len(w.line) > bufferSize {
		w.refused = failed(Problem{Code: CodeValue, Message: fmt.Sprintf("a job takes %d bytes", len(w.line)),
			Fix: "shorten its texts"})
		return w.refused
	}
	_, err := w.out.Write(w.line)
	return err
}

// Jobs returns the number of jobs written.
func (w *Writer) Jobs() int64 { return w.jobs }

// Close flushes; it does not close the underlying writer. It fails when the header announced another number of jobs.
func (w *Writer) Close() error {
	if w.refused != nil {
		return w.refused
	}
	if w.want > 0 && w.want != w.jobs {
		return failed(Problem{Code: CodeTruncated, Message: fmt.Sprintf("the header announces %d jobs, %d were written",
			w.want, w.jobs), Fix: "correct the header's number of jobs, or leave it 0"})
	}
	return w.out.Flush()
}
