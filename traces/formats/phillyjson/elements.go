package phillyjson

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// elements walks over the elements of a JSON array as a stream and knows the line each one starts in.
type elements struct {
	lines *lineReader
	dec   *jsontext.Decoder
	begun bool
}

func newElements(r io.Reader) *elements {
	lines := &lineReader{r: r}
	return &elements{lines: lines, dec: jsontext.NewDecoder(lines)}
}

// next returns the next element, valid until the next call, and the line it starts in; io.EOF after the last. An empty
// or cut-off input is io.ErrUnexpectedEOF.
func (e *elements) next() (jsontext.Value, int, error) {
	if !e.begun {
		tok, err := e.dec.ReadToken()
		if err != nil {
			return nil, 1, unexpected(err)
		}
		if tok.Kind() != '[' {
			return nil, e.lines.at(e.dec.InputOffset()), errors.New("the file is no JSON array")
		}
		e.begun = true
	}
	if e.dec.PeekKind() == ']' {
		if _, err := e.dec.ReadToken(); err != nil {
			return nil, e.lines.at(e.dec.InputOffset()), unexpected(err)
		}
		if _, err := e.dec.ReadToken(); err != io.EOF {
			if err == nil {
				err = errors.New("text after the array")
			}
			return nil, e.lines.at(e.dec.InputOffset()), err
		}
		return nil, 0, io.EOF
	}
	value, err := e.dec.ReadValue()
	if err != nil {
		offset := e.dec.InputOffset()
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			offset = max(offset, syntax.ByteOffset)
		}
		return nil, e.lines.at(offset), unexpected(err)
	}
	return value, e.lines.at(e.dec.InputOffset() - int64(len(value))), nil
}

// unexpected makes the plain end of input an error: inside an array there is none.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lineReader remembers where lines start in what it has read, as far as at has not passed it.
type lineReader struct {
	r      io.Reader
	read   int64
	passed int     // newlines before starts[0]
	starts []int64 // offsets of newlines not passed yet
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for rest, base := p[:n], l.read; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		l.starts = append(l.starts, base+int64(i))
		rest, base = rest[i+1:], base+int64(i)+1
	}
	l.read += int64(n)
	return n, err
}

// at returns the 1-based line of an offset. Offsets must not decrease from call to call.
func (l *lineReader) at(offset int64) int {
	i := 0
	for i < len(l.starts) && l.starts[i] < offset {
		i++
	}
	l.passed += i
	l.starts = append(l.starts[:0], l.starts[i:]...)
	return l.passed + 1
}
