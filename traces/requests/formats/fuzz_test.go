package formats_test

import (
	"bytes"
	"errors"
	"testing"

	"orrery/traces"
	"orrery/traces/requests"
)

// fuzz checks of any input: no panic; an error is a list of problems; what is read without error is in order and survives
// the canonical format.
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
		for _, o := range []requests.Options{{}, {SkipBad: true}, {Reorder: 3}, {SkipBad: true, Reorder: 2}} {
			o.Format = format
			h, list, err := open(data, "f", o)
			var problems *traces.Errors
			if err != nil && !errors.As(err, &problems) {
				t.Fatalf("not a list of problems: %v", err)
			}
			if err == nil {
				checkCanonical(t, h, list)
			}
		}
	})
}

func FuzzAzure2023(f *testing.F) { fuzz(f, "azure-llm-2023") }
func FuzzAzure2024(f *testing.F) { fuzz(f, "azure-llm-2024") }
func FuzzBurstGPT(f *testing.F)  { fuzz(f, "burstgpt") }
func FuzzMooncake(f *testing.F)  { fuzz(f, "mooncake") }
func FuzzCanonical(f *testing.F) { fuzz(f, requests.Canonical) }
