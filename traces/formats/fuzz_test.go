package formats_test

import (
	"bytes"
	"errors"
	"testing"

	"orrery/traces"
)

// fuzz checks of any input: no panic; an error is a list of problems; what is read without error survives the canonical
// format.
func fuzz(f *testing.F, format string) {
	for _, s := range samples {
		data := sample(f, s.file)
		f.Add(data)
		f.Add(append([]byte("\ufeff"), bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))...))
		f.Add(data[:len(data)/2])
		f.Add(bytes.ReplaceAll(data, []byte(","), []byte(`","`)))
	}
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, skip := range []bool{false, true} {
			h, jobs, err := open(data, "f", traces.Options{Format: format, SkipBad: skip})
			var list *traces.Errors
			if err != nil && !errors.As(err, &list) {
				t.Fatalf("not a list of problems: %v", err)
			}
			if err == nil {
				checkCanonical(t, h, jobs)
			}
		}
	})
}

func FuzzAcme(f *testing.F)       { fuzz(f, "acme") }
func FuzzHelios(f *testing.F)     { fuzz(f, "helios") }
func FuzzOpenB(f *testing.F)      { fuzz(f, "openb") }
func FuzzPhilly(f *testing.F)     { fuzz(f, "philly") }
func FuzzPhillyJSON(f *testing.F) { fuzz(f, "phillyjson") }
