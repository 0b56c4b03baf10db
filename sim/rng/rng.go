// Package rng derives independent named random streams from one run seed, so that adding a component never moves
// another component's draws.
//
// A stream's seed is SHA-256(run seed, name); its generator is ChaCha8 of math/rand/v2, whose output is specified and
// the same on every platform and Go version.
package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// Source hands out the named streams of one run.
type Source struct{ seed uint64 }

// New returns the source of a run's streams.
func New(seed uint64) *Source { return &Source{seed} }

// Seed returns the run seed.
func (s *Source) Seed() uint64 { return s.seed }

// Stream returns a fresh generator for name, e.g. "arrivals/tenant-a" or "failure/node-17". Asking twice for one name
// gives two generators with the same draws; a component asks once and keeps it.
func (s *Source) Stream(name string) *rand.Rand {
	h := sha256.New()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], s.seed)
	h.Write(b[:])
	h.Write([]byte(name))
	return rand.New(rand.NewChaCha8([32]byte(h.Sum(nil))))
}

// Int63 returns a non-negative 63-bit number that depends only on the run seed and name. It seeds generators that
// upstream code owns.
func (s *Source) Int63(name string) int64 { return s.Stream(name).Int64() & math.MaxInt64 }
