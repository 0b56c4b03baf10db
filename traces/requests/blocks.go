package requests

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"orrery/traces"
)

// Blocks parses lists of block identifiers into memory that it allocates in large pieces. The zero value is ready.
type Blocks struct{ free []uint64 }

// pieceBlocks is how many identifiers are allocated at a time.
const pieceBlocks = 8192

// Parse reads a JSON list of whole numbers from 0 on. False: it is none. The result is not changed afterwards.
func (b *Blocks) Parse(list []byte) ([]uint64, bool) {
	list = bytes.TrimSpace(list)
	if len(list) < 2 || list[0] != '[' || list[len(list)-1] != ']' {
		return nil, false
	}
	list = bytes.TrimSpace(list[1 : len(list)-1])
	if len(list) == 0 {
		return nil, true
	}
	n := bytes.Count(list, []byte{','}) + 1
	if n > len(b.free) {
		b.free = make([]uint64, max(n, pieceBlocks))
	}
	out := b.free[:0:n]
	for more := true; more; {
		var item []byte
		item, list, more = bytes.Cut(list, []byte{','})
		v, err := strconv.ParseUint(string(bytes.TrimSpace(item)), 10, 64)
		if err != nil {
			return nil, false
		}
		out = append(out, v)
	}
	b.free = b.free[n:]
	return out, true
}

func one(p traces.Problem) error { return &traces.Errors{Problems: []traces.Problem{p}, Count: 1} }

func isEnd(err error) bool { return errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) }
