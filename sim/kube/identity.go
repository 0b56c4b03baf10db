package kube

import (
	"encoding/binary"
	"encoding/hex"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// nextUID returns the next UID: the serial number, mixed, in the shape of a random (version 4) UUID. The mixing is a
// bijection on 60 of its bits' worth of serial numbers, so UIDs never repeat within a run.
func (s *Store) nextUID() types.UID {
	s.serial++
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], mix(s.serial))
	binary.BigEndian.PutUint64(b[8:], s.serial)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return types.UID(out[:])
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Upstream's generated names: base, at most 58 characters, and 5 characters of this alphabet
// (k8s.io/apiserver/pkg/storage/names, k8s.io/apimachinery/pkg/util/rand).
const (
	suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789"
	suffixLength   = 5
	generatedBase  = 63 - suffixLength
	suffixes       = 27 * 27 * 27 * 27 * 27
	suffixStep     = 8_675_309 // not a multiple of 3, so counting in these steps visits every suffix once
)

// generateName fills metadata.name from metadata.generateName, deterministically, skipping names that are taken.
func (s *Store) generateName(k *kind, m metav1.Object) {
	base := m.GetGenerateName()
	if base == "" || m.GetName() != "" {
		return
	}
	if len(base) > generatedBase {
		base = base[:generatedBase]
	}
	for {
		s.suffix++
		n := s.suffix * suffixStep % suffixes
		var b [suffixLength]byte
		for i := range b {
			b[i] = suffixAlphabet[n%27]
			n /= 27
		}
		name := base + string(b[:])
		if s.peek(k, m.GetNamespace(), name) == nil {
			m.SetName(name)
			return
		}
	}
}

// lastState is the state before c with the resourceVersion of c.
func lastState(k *kind, c Commit) runtime.Object {
	out := k.shallow(c.Old)
	out.(metav1.Object).SetResourceVersion(c.New.(metav1.Object).GetResourceVersion())
	return out
}
