package gpushare

import (
	"maps"
	"reflect"
	"slices"
	"testing"
)

// TestParse reads what Annotations writes, and refuses what nobody means.
func TestParse(t *testing.T) {
	for _, r := range []Request{{}, {GPUs: 1, Milli: 1}, {GPUs: 8, Milli: 1000}, {GPUs: 1, Milli: 500, Models: []string{"a", "b"}}} {
		got, err := Parse(r.Annotations())
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v: read %+v, %v", r, got, err)
		}
	}
	if got, err := Parse(map[string]string{"other": "x", Model: "T4"}); err != nil || got.GPUs != 0 {
		t.Errorf("a pod without a request: %+v, %v", got, err)
	}
	for _, bad := range []map[string]string{
		{Count: "1"}, {Milli: "500"}, {Count: "-1", Milli: "500"}, {Count: "1", Milli: "1001"}, {Count: "0", Milli: "5"},
		{Count: "1", Milli: "0"}, {Count: "one", Milli: "500"}, {Count: "1", Milli: "0.5"},
	} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%v is read as %+v", bad, got)
		}
	}
}

// TestIndex reads what FormatIndex writes.
func TestIndex(t *testing.T) {
	for _, gpus := range [][]int{{0}, {3, 1}, {0, 1, 2, 3, 4, 5, 6, 7}} {
		got, err := ParseIndex(map[string]string{Index: FormatIndex(gpus)})
		if err != nil || !slices.Equal(got, gpus) {
			t.Errorf("%v: read %v, %v", gpus, got, err)
		}
	}
	for _, bad := range []string{"", "-1", "0-0", "0,1", "a"} {
		if got, err := ParseIndex(map[string]string{Index: bad}); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	if got, err := ParseIndex(nil); err != nil || got != nil {
		t.Errorf("nothing is read as %v, %v", got, err)
	}
}

// FuzzParse holds that what can be read is written back the same.
func FuzzParse(f *testing.F) {
	f.Add("1", "500", "T4|A10", "0")
	f.Add("8", "1000", "", "0-1-2-3-4-5-6-7")
	f.Fuzz(func(t *testing.T, count, milli, model, index string) {
		in := map[string]string{Count: count, Milli: milli, Model: model, Index: index}
		if r, err := Parse(in); err == nil {
			out := r.Annotations()
			again, err := Parse(out)
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%v: %+v, then %+v, %v", in, r, again, err)
			}
			if again := again.Annotations(); !maps.Equal(again, out) {
				t.Fatalf("%v: written %v, then %v", in, out, again)
			}
		}
		if gpus, err := ParseIndex(in); err == nil {
			again, err := ParseIndex(map[string]string{Index: FormatIndex(gpus)})
			if err != nil || !slices.Equal(again, gpus) {
				t.Fatalf("%q: %v, then %v, %v", index, gpus, again, err)
			}
		}
	})
}
