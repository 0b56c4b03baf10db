package kubescheduler_test

import "testing"

// FuzzExact is TestExactRandom with worlds that a fuzzer draws. The corpus in testdata/fuzz is played by every go test.
func FuzzExact(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		const enough = 4096 // bytes; no world uses more than a few of them
		w := drawWorld(bytesOf(data[:min(len(data), enough)]))
		if _, difference := w.compare(t); difference != "" {
			t.Errorf("%s\n%s", difference, w)
		}
	})
}
