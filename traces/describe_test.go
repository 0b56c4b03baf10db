package traces

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestDescribe(t *testing.T) {
	src, err := NewReader(strings.NewReader(canonicalText(t)), "f")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Describe(src)
	if err != nil {
		t.Fatal(err)
	}
	if d.Jobs != 4 || d.GPUJobs != 3 || d.FractionalJobs != 2 || d.ForeverJobs != 1 || d.GPUsAsked != 10.001 {
		t.Errorf("%+v", d)
	}
	var jobs int64
	var hours float64
	for _, s := range d.Sizes {
		jobs += s.Jobs
		hours += s.GPUHours
	}
	if jobs != d.Jobs || hours < d.GPUHours*0.999999 || hours > d.GPUHours*1.000001 {
		t.Errorf("sizes hold %d jobs and %v GPU-hours of %d and %v", jobs, hours, d.Jobs, d.GPUHours)
	}
	if d.Run.N != 3 || d.Wait.N != 2 || d.Wait.P50 != 0 || d.Wait.Max != 1.5 {
		t.Errorf("%+v %+v", d.Run, d.Wait)
	}
	var text, js bytes.Buffer
	if err := errors.Join(d.Text(&text), d.JSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sample", "3 rows: no GPUs (first: x.csv:7)", "a note", "4 (3 with GPUs", "killed"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s\nlacks %q", &text, want)
		}
	}
	if !strings.Contains(js.String(), `"gpus_asked": 10.001`) {
		t.Error(js.String())
	}
}

// TestDispersion compares the streaming hour counts with counting them all, empty hours included.
func TestDispersion(t *testing.T) {
	hours := []int{0, 0, 0, 3, 3, 10, 11, 11, 11, 11, 12}
	var jobs []Job
	counts := make([]float64, 12) // the last, cut-off hour does not count
	for i, h := range hours {
		jobs = append(jobs, Job{ID: fmt.Sprint(i), Submit: time.Duration(h) * time.Hour, ObservedWait: WaitUnknown})
		if h < len(counts) {
			counts[h]++
		}
	}
	mean, square := 10.0/12, 0.0
	for _, c := range counts {
		square += (c - mean) * (c - mean)
	}
	d, err := Describe(FromJobs(Header{}, jobs))
	if err != nil {
		t.Fatal(err)
	}
	got, want := d.Arrivals.HourlyDispersion, square/12/mean
	if got < want-1e-9 || got > want+1e-9 || math.Abs(d.Arrivals.HourlyPeakToMean-4/mean) > 1e-9 {
		t.Errorf("%+v, want %v", d.Arrivals, want)
	}
}

func TestDescribeEmpty(t *testing.T) {
	d, err := Describe(FromJobs(Header{}, nil))
	var js bytes.Buffer
	if err := errors.Join(err, d.JSON(&js), d.Text(io.Discard)); err != nil {
		t.Error(err)
	}
}
