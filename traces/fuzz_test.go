package traces

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzCanonical: whatever is read without error is written and read back as the same jobs; nothing panics.
func FuzzCanonical(f *testing.F) {
	text := canonicalText(f)
	f.Add([]byte(text))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(text, "\n", "\r\n")))
	f.Add(pack(f, "gzip", text))
	f.Add(pack(f, "zstd", text))
	f.Add([]byte(""))
	f.Add([]byte(text[:len(text)-10]))
	f.Add([]byte(strings.Replace(text, `"gpus":8`, `"gpus":NaN`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := readText(data, Options{SkipBad: true}); err != nil {
			var list *Errors
			if !errors.As(err, &list) {
				t.Fatalf("not a list of problems: %v", err)
			}
		}
		h, jobs, err := readText(data, Options{})
		if err != nil {
			return
		}
		var b bytes.Buffer
		w, err := NewWriter(&b, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if err := w.Write(j); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		h2, again, err := readText(b.Bytes(), Options{})
		if d := cmp.Diff(jobs, again) + cmp.Diff(h, h2); err != nil || d != "" {
			t.Fatal(err, d)
		}
	})
}

func FuzzSeconds(f *testing.F) {
	f.Add("12.5")
	f.Add("0.000000001")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseSeconds(s)
		if err != nil {
			return
		}
		if again, err := ParseSeconds(FormatSeconds(d)); err != nil || again != d || d < 0 {
			t.Fatalf("%q → %d → %d, %v", s, d, again, err)
		}
	})
}
