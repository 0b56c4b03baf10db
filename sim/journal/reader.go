package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"orrery/sim/units"
)

// What can be wrong with a journal; the errors of Reader wrap these.
var (
	ErrTruncated = errors.New("truncated: the journal does not end with an end record and its trailer")
	ErrCorrupt   = errors.New("corrupt")
	ErrHash      = errors.New("hash mismatch: the journal was changed after it was written")
	ErrFormat    = errors.New("newer format: read it with a newer version")
)

// lineMax bounds the memory a corrupt file can ask for. The longest honest line is a run record with its versions.
const lineMax = 16 << 20

// Reader reads a journal and checks it on the way: order of time, the opening run and closing end record, and at the
// end the number of records and the hash chain against the trailer. It also reads plain NDJSON, as zstdcat prints it
// or a test writes it; that has no trailer, so only its records are checked.
type Reader struct {
	close   func() error
	in      *bufio.Reader
	tail    *tailReader // nil for plain NDJSON
	line    []byte      // chain link, then the line
	last    units.Time
	records int64
	ended   bool
	err     error
}

// Open opens the journal file at path.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	inner := r.close
	r.close = func() error {
		return errors.Join(inner(), f.Close())
	}
	return r, nil
}

// NewReader returns a reader of a compressed or plain journal. It fails only when nothing can be read.
func NewReader(src io.Reader) (*Reader, error) {
	head := bufio.NewReaderSize(src, 64<<10)
	start, err := head.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r := &Reader{close: func() error { return nil }, line: make([]byte, sha256.Size, 4<<10)}
	if len(start) > 0 && start[0] == '{' {
		r.in = head
		return r, nil
	}
	if !bytes.Equal(start, []byte{0x28, 0xB5, 0x2F, 0xFD}) { // zstd's magic, RFC 8878, section 3.1.1
		return nil, fmt.Errorf("journal: %w: neither zstd nor JSON lines", ErrCorrupt)
	}
	r.tail = &tailReader{r: head}
	z, err := zstd.NewReader(r.tail, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r.in = bufio.NewReaderSize(z, 64<<10)
	r.close = func() error { z.Close(); return nil }
	return r, nil
}

// Next returns the next record; io.EOF after the end record of a whole journal, and any other error for good. Errors
// wrap ErrTruncated, ErrCorrupt, ErrHash or ErrFormat and name the line.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err != nil {
		if err != io.EOF {
			err = fmt.Errorf("journal: line %d: %w", r.records+1, err)
		}
		r.err = err
		return Record{}, err
	}
	r.records++
	return rec, nil
}

func (r *Reader) next() (Record, error) {
	if err := r.readLine(); err != nil {
		return Record{}, err
	}
	if r.ended {
		return Record{}, fmt.Errorf("%w: a record after the end record", ErrCorrupt)
	}
	rec, err := parseLine(r.line[sha256.Size : len(r.line)-1])
	if err != nil && r.records == 0 && newerFormat(r.line[sha256.Size:]) {
		return Record{}, ErrFormat
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if rec.At < r.last {
		return Record{}, fmt.Errorf("%w: time goes back from %v to %v", ErrCorrupt, r.last, rec.At)
	}
	r.last = rec.At
	run, isRun := rec.Body.(Run)
	switch {
	case isRun != (r.records == 0):
		return Record{}, fmt.Errorf("%w: a journal has one run record, its first", ErrCorrupt)
	case isRun && run.Format > FormatVersion:
		return Record{}, fmt.Errorf("%w (format %d, this reader knows %d)", ErrFormat, run.Format, FormatVersion)
	}
	if _, ok := rec.Body.(End); ok {
		r.ended = true
	}
	link := sha256.Sum256(r.line)
	copy(r.line, link[:])
	return rec, nil
}

// readLine puts the next line behind the chain link. At the end of the file it checks what the trailer says.
func (r *Reader) readLine() error {
	r.line = r.line[:sha256.Size]
	for {
		part, err := r.in.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return nil
		case len(r.line) > lineMax:
			return fmt.Errorf("%w: a line longer than %d bytes", ErrCorrupt, lineMax)
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(r.line) == sha256.Size:
			return r.finish()
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return ErrTruncated
		default:
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
}

// finish checks a journal that was read to its last byte and returns io.EOF when all is well.
func (r *Reader) finish() error {
	if !r.ended {
		return ErrTruncated
	}
	if r.tail == nil {
		return io.EOF
	}
	t, ok := parseTrailer(r.tail.last)
	switch {
	case !ok:
		return ErrTruncated
	case t.Records != r.records || t.Head != r.Head():
		return fmt.Errorf("%w (%d records with head %s, the trailer says %d with %s)",
			ErrHash, r.records, r.Head(), t.Records, t.Head)
	}
	return io.EOF
}

// newerFormat reports whether a first line that this reader cannot parse says itself that it is of a newer format.
func newerFormat(line []byte) bool {
	d := decoder{s: line}
	d.lit(`{"t":0,"k":"run","format":`)
	return d.int(0, 1<<31) > FormatVersion && d.err == nil
}

// Records returns how many records were read so far.
func (r *Reader) Records() int64 { return r.records }

// Head returns the head of the hash chain of the records read so far, in hexadecimal.
func (r *Reader) Head() string { return hex.EncodeToString(r.line[:sha256.Size]) }

// Close releases the reader, and the file when Open made it.
func (r *Reader) Close() error { return r.close() }

// Each reads r to its end and calls f with every record. It stops at the first error, f's included.
func Each(r *Reader, f func(Record) error) error {
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(rec); err != nil {
			return err
		}
	}
}

// Verify reads the whole file at path and checks every line, the order of time and the hash chain, and that records
// and head are those expected.
func Verify(path string, want Trailer) error {
	r, err := Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := Each(r, func(Record) error { return nil }); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.Records() != want.Records || r.Head() != want.Head {
		return fmt.Errorf("%s: journal: %w: %d records with head %s, want %d with %s",
			path, ErrHash, r.Records(), r.Head(), want.Records, want.Head)
	}
	return nil
}

// ReadTrailer returns what the file at path says about itself without reading it through. A file that was not
// finished gives ErrTruncated.
func ReadTrailer(path string) (Trailer, error) {
	f, err := os.Open(path)
	if err != nil {
		return Trailer{}, err
	}
	defer f.Close()
	b := make([]byte, trailerSize)
	if _, err := f.Seek(-int64(trailerSize), io.SeekEnd); err == nil {
		if _, err := io.ReadFull(f, b); err != nil {
			return Trailer{}, err
		}
	}
	t, ok := parseTrailer(b)
	if !ok {
		return Trailer{}, fmt.Errorf("%s: journal: %w", path, ErrTruncated)
	}
	return t, nil
}

// tailReader remembers the last bytes read, where the trailer is.
type tailReader struct {
	r    io.Reader
	last []byte // at most trailerSize
}

func (t *tailReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[max(0, n-trailerSize):n]...)
	if extra := len(t.last) - trailerSize; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return n, err
}
