package gen

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"orrery/traces/requests"
)

// idBits bounds identifiers of blocks to numbers that every reader of JSON takes exactly.
const idBits = 53

// key returns the number that stands for something shared.
func key(kind, name string) uint64 { return xxhash.Sum64String(kind + "\x00" + name) }

// blockID returns the identifier of block i of the text that key stands for.
func blockID(key uint64, i int) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], key)
	binary.LittleEndian.PutUint64(b[8:], uint64(i))
	return xxhash.Sum64(b[:]) >> (64 - idBits)
}

// talk is a conversation, or a single request.
type talk struct {
	at      time.Duration // of the next turn
	session uint64
	doc     int
	shared  int      // tokens of system prompt and document
	history int      // tokens before the next turn's new input
	left    int      // turns
	blocks  []uint64 // named so far; turns only append, so that earlier requests keep theirs
}

// name gives the request its prefix: the whole blocks that others have or will have.
func (s *stream) name(t *talk, r *requests.Request) {
	if !s.prefixed() {
		return
	}
	whole := t.shared / s.block
	if t.session != 0 {
		whole = r.Input / s.block
	} else if s.zipf == nil {
		r.Prefix = slices.Clip(s.shared)
		return
	}
	if t.blocks == nil {
		t.blocks = make([]uint64, 0, whole)
	}
	for i := len(t.blocks); i < whole; i++ {
		switch {
		case i < s.systemBlocks:
			t.blocks = append(t.blocks, s.shared[i])
		case i < t.shared/s.block:
			t.blocks = append(t.blocks, blockID(s.documents+uint64(t.doc)*0x9e3779b97f4a7c15, i))
		default:
			t.blocks = append(t.blocks, blockID(s.key+t.session*0x9e3779b97f4a7c15, i))
		}
	}
	r.Prefix = slices.Clip(t.blocks)
}

// talks is a min-heap by time, then by conversation.
type talks []talk

func (a *talk) before(b *talk) bool { return a.at < b.at || a.at == b.at && a.session < b.session }

func (h *talks) push(t talk) {
	*h = append(*h, t)
	list := *h
	for i := len(list) - 1; i > 0; {
		up := (i - 1) / 2
		if !list[i].before(&list[up]) {
			return
		}
		list[i], list[up] = list[up], list[i]
		i = up
	}
}

func (h *talks) pop() talk {
	list := *h
	out := list[0]
	n := len(list) - 1
	list[0] = list[n]
	list[n] = talk{}
	list = list[:n]
	*h = list
	for i := 0; ; {
		least := i
		for _, k := range [2]int{2*i + 1, 2*i + 2} {
			if k < n && list[k].before(&list[least]) {
				least = k
			}
		}
		if least == i {
			return out
		}
		list[i], list[least] = list[least], list[i]
		i = least
	}
}
