package transform

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"orrery/traces"
	"orrery/traces/requests"
)

// source makes n requests, one a second, of services a, b, c in turn.
func source(n int) requests.Source {
	var list []requests.Request
	for i := range n {
		list = append(list, requests.Request{At: time.Duration(i) * time.Second, Input: 1 + i, Output: 1 + 2*i,
			Service: string(rune('a' + i%3)), Tenant: "t", Session: uint64(1 + i/2), Prefix: []uint64{uint64(i)}})
	}
	return requests.Slice(requests.Header{Name: "s", TimeZero: "2026-01-01T00:00:00Z", PrefixTokens: 1}, list)
}

// apply runs a transformation and returns its requests.
func apply(t *testing.T, src requests.Source, err error) (requests.Header, []requests.Request) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	list, err := requests.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	h := src.Header()
	last := time.Duration(0)
	for _, r := range list {
		if p := r.Check(h.PrefixTokens); len(p) > 0 || r.At < last {
			t.Fatal(r, p)
		}
		last = r.At
	}
	return h, list
}

func TestClipScaleShift(t *testing.T) {
	src, err := Clip(source(100), 10*time.Second, 20*time.Second)
	h, list := apply(t, src, err)
	if len(list) != 10 || list[0].At != 0 || list[0].Input != 11 || h.TimeZero != "2026-01-01T00:00:10Z" || h.Requests != 0 {
		t.Error(list, h)
	}
	src, err = ScaleRate(source(100), 4)
	_, list = apply(t, src, err)
	if list[99].At != 24750*time.Millisecond {
		t.Error(list[99])
	}
	src, err = ScaleTime(source(100), 4)
	_, list = apply(t, src, err)
	if list[99].At != 396*time.Second {
		t.Error(list[99])
	}
	src, err = Shift(source(3), time.Minute)
	h, list = apply(t, src, err)
	if list[0].At != time.Minute || h.TimeZero != "2025-12-31T23:59:00Z" {
		t.Error(list[0], h.TimeZero)
	}
}

func TestFilter(t *testing.T) {
	src, err := Services(source(100), "b", "nobody")
	_, list := apply(t, src, err)
	if len(list) != 33 || list[0].Service != "b" {
		t.Error(len(list))
	}
	src, err = Tenants(source(100), "x")
	if _, list = apply(t, src, err); len(list) != 0 {
		t.Error(len(list))
	}
	kept := map[uint64]bool{}
	for _, share := range []float64{0.2, 0.5, 1} { // each contains the one before
		src, err = Thin(source(20000), share, 7)
		_, list = apply(t, src, err)
		if f := float64(len(list)) / 20000; f < share-0.02 || f > share+0.02 || len(list)%2 != 0 {
			t.Errorf("share %v keeps %v", share, f)
		}
		now := map[uint64]bool{}
		for _, r := range list {
			now[r.Session] = true
		}
		for s := range kept {
			if !now[s] {
				t.Fatal("a conversation was kept with a smaller share only")
			}
		}
		kept = now
	}
}

func TestClipTokens(t *testing.T) {
	src, err := ClipTokens(source(100), 50, 100)
	h, list := apply(t, src, err)
	if list[99].Input != 50 || list[99].Output != 100 || list[49].Output != 99 || !strings.HasSuffix(h.Notes[0],
		"50 inputs, 50 outputs") {
		t.Error(list[99], h.Notes)
	}
}

func TestRepeatMerge(t *testing.T) {
	open := func() (requests.Source, error) { return source(10), nil }
	src, err := Repeat(open, 3, 10*time.Second)
	_, list := apply(t, src, err)
	if len(list) != 30 || list[29].At != 29*time.Second || list[10].Session == list[0].Session ||
		list[10].Prefix[0] != list[0].Prefix[0] || list[10].Session != list[11].Session {
		t.Error(list)
	}
	src, err = Repeat(open, 2, 9*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := requests.ReadAll(src); err == nil {
		t.Error("passes overlap, and nobody said so")
	}
	late, err := Shift(source(10), 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	src, err = Merge("both", source(10), late)
	h, list := apply(t, src, err)
	if len(list) != 20 || list[1].At != 500*time.Millisecond || list[1].Session == list[0].Session ||
		cmp.Equal(list[0].Prefix, list[1].Prefix) || h.PrefixTokens != 1 {
		t.Error(list, h)
	}
	if _, err := Merge("x", source(1), requests.Slice(requests.Header{PrefixTokens: 2}, nil)); err == nil {
		t.Error("blocks of two sizes were merged")
	}
}

func TestRefused(t *testing.T) {
	for name, f := range map[string]func() (requests.Source, error){
		"clip":    func() (requests.Source, error) { return Clip(source(1), 2, 1) },
		"rate":    func() (requests.Source, error) { return ScaleRate(source(1), 0) },
		"time":    func() (requests.Source, error) { return ScaleTime(source(1), -1) },
		"shift":   func() (requests.Source, error) { return Shift(source(1), -1) },
		"thin":    func() (requests.Source, error) { return Thin(source(1), 1.5, 1) },
		"tenants": func() (requests.Source, error) { return Tenants(source(1)) },
		"tokens":  func() (requests.Source, error) { return ClipTokens(source(1), 0, 0) },
		"merge":   func() (requests.Source, error) { return Merge("x") },
		"repeat":  func() (requests.Source, error) { return Repeat(nil, 0, 1) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestSteps holds that steps are the functions one after the other, and that the zero value changes nothing.
func TestSteps(t *testing.T) {
	src, err := Steps{}.Apply(source(50))
	_, all := apply(t, src, err)
	if len(all) != 50 {
		t.Fatalf("no steps leave %d of 50 requests", len(all))
	}
	src, err = Steps{From: 5 * time.Second, Rate: 2, Share: 0.5, Seed: 9, MaxInput: 3, After: time.Minute}.Apply(source(50))
	header, got := apply(t, src, err)
	src, err = Clip(source(50), 5*time.Second, traces.MaxTime)
	for _, next := range []func(requests.Source) (requests.Source, error){
		func(s requests.Source) (requests.Source, error) { return ScaleRate(s, 2) },
		func(s requests.Source) (requests.Source, error) { return Thin(s, 0.5, 9) },
		func(s requests.Source) (requests.Source, error) { return ClipTokens(s, 3, 0) },
		func(s requests.Source) (requests.Source, error) { return Shift(s, time.Minute) },
	} {
		if err == nil {
			src, err = next(src)
		}
	}
	_, want := apply(t, src, err)
	if len(got) == 0 || len(got) == len(all) || !reflect.DeepEqual(got, want) {
		t.Errorf("steps give %v, want %v", got, want)
	}
	if len(header.Notes) != 5 {
		t.Errorf("the header tells %q, want five steps", header.Notes)
	}
	if _, err := (Steps{From: time.Minute, To: time.Second}).Apply(source(1)); err == nil {
		t.Error("a span that ends before it begins is taken")
	}
}
