package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"orrery/sim/units"
)

// The file is a zstd stream of lines, followed by one zstd skippable frame, the trailer, which every zstd tool passes
// over. The trailer says how many records there are and what the head of their hash chain is, so that a file proves
// by its last 56 bytes that it was finished, and by reading it through that it is unchanged.
//
// The chain is chain₀ = 32 zero bytes, chainᵢ = SHA-256(chainᵢ₋₁ ‖ lineᵢ), line with its newline; the head is the last
// link, in hexadecimal. A link per record (and not per block) names the state after every record, so two journals'
// first difference can be found from their chains.
const (
	trailerMagic = 0x184D2A5E // one of the 16 skippable-frame magics of RFC 8878, section 3.1.2
	trailerName  = "ORRERYJ1"
	trailerBody  = len(trailerName) + 8 + sha256.Size
	trailerSize  = 8 + trailerBody
	blockSize    = 64 << 10 // lines handed to zstd at a time
	windowSize   = 4 << 20  // fixed, so that the bytes do not follow a library default
)

var errNotWhole = errors.New("journal: closed without an end record: the run is not whole")

// Writer appends records to a compressed journal. It is a Sink. Two writers given the same records write the same
// bytes: the encoder runs on the caller's goroutine, at a fixed level, with a fixed window.
type Writer struct {
	w       io.Writer
	z       *zstd.Encoder
	enc     encoder // chain link, then the line
	block   []byte
	records int64
	last    units.Time
	ended   bool
	closed  bool
	err     error
}

// NewWriter returns a writer onto w. The first record must be a Run of FormatVersion, the last one an End. The caller
// closes w after Close.
func NewWriter(w io.Writer) *Writer {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(windowSize), zstd.WithEncoderCRC(true))
	if err != nil {
		err = fmt.Errorf("journal: %w", err)
	}
	return &Writer{w: w, z: z, err: err, enc: encoder{make([]byte, sha256.Size, 4<<10)},
		block: make([]byte, 0, blockSize+4<<10)}
}

// Append writes one record. After the first error (a full disk, a record out of order) it does nothing; Err and Close
// report that error.
func (w *Writer) Append(at units.Time, b Body) {
	if w.err != nil {
		return
	}
	if err := w.check(at, b); err != nil {
		w.err = err
		return
	}
	w.last = at
	w.enc.b = w.enc.b[:sha256.Size]
	if err := w.enc.record(at, b); err != nil {
		w.err = err
		return
	}
	w.block = append(w.block, w.enc.b[sha256.Size:]...)
	link := sha256.Sum256(w.enc.b)
	copy(w.enc.b, link[:])
	w.records++
	if len(w.block) >= blockSize {
		w.flush()
	}
}

// check refuses records that would make the journal unreadable.
func (w *Writer) check(at units.Time, b Body) error {
	switch {
	case w.closed:
		return errors.New("journal: record after Close")
	case w.ended:
		return fmt.Errorf("journal: record %s at %v after the end record", b.Kind(), at)
	case at < w.last:
		return fmt.Errorf("journal: record %s at %v after one at %v: time goes back", b.Kind(), at, w.last)
	}
	switch v := b.(type) {
	case Run:
		if w.records != 0 {
			return errors.New("journal: a second run record")
		}
		if v.Format != FormatVersion {
			return fmt.Errorf("journal: run record of format %d, this writer writes %d", v.Format, FormatVersion)
		}
		return nil
	case End:
		w.ended = true
	}
	if w.records == 0 {
		return fmt.Errorf("journal: the first record is %s, not run", b.Kind())
	}
	return nil
}

func (w *Writer) flush() {
	if _, err := w.z.Write(w.block); err != nil {
		w.err = fmt.Errorf("journal: writing: %w", err)
	}
	w.block = w.block[:0]
}

// Err returns the first error, nil when there was none.
func (w *Writer) Err() error { return w.err }

// Records returns how many records were appended.
func (w *Writer) Records() int64 { return w.records }

// Head returns the head of the hash chain so far, in hexadecimal.
func (w *Writer) Head() string { return hex.EncodeToString(w.enc.b[:sha256.Size]) }

// Close finishes the file and returns the number of records and the head of their hash chain. It fails when anything
// failed before or when the last record is no End; then the file is not whole and readers refuse it.
func (w *Writer) Close() (records int64, head string, err error) {
	if w.closed {
		return w.records, w.Head(), w.err
	}
	w.closed = true
	if w.err == nil && !w.ended {
		w.err = errNotWhole
	}
	if w.err == nil {
		w.flush()
	}
	if w.z != nil {
		if err := w.z.Close(); err != nil && w.err == nil {
			w.err = fmt.Errorf("journal: finishing: %w", err)
		}
	}
	if w.err == nil {
		t := Trailer{Records: w.records, Head: w.Head()}
		if _, err := w.w.Write(t.append(nil)); err != nil {
			w.err = fmt.Errorf("journal: writing the trailer: %w", err)
		}
	}
	return w.records, w.Head(), w.err
}

// Trailer is what a finished journal file says about itself in its last bytes.
type Trailer struct {
	Records int64
	Head    string // of the hash chain, hexadecimal
}

func (t Trailer) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, trailerMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(trailerBody))
	b = append(b, trailerName...)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Records))
	head, err := hex.DecodeString(t.Head)
	if err != nil || len(head) != sha256.Size {
		panic(fmt.Sprintf("journal: trailer with head %q", t.Head))
	}
	return append(b, head...)
}

// parseTrailer reads a trailer from the last bytes of a file.
func parseTrailer(b []byte) (Trailer, bool) {
	if len(b) != trailerSize || binary.LittleEndian.Uint32(b) != trailerMagic ||
		binary.LittleEndian.Uint32(b[4:]) != uint32(trailerBody) || string(b[8:8+len(trailerName)]) != trailerName {
		return Trailer{}, false
	}
	b = b[8+len(trailerName):]
	return Trailer{int64(binary.LittleEndian.Uint64(b)), hex.EncodeToString(b[8:])}, true
}
