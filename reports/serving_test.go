package reports_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"orrery/reports"
	"orrery/reports/reportstest"
	"orrery/sim/result"
)

// TestServingFindings holds what is said of services against a run that misses, idles, queues and cannot scale, and that
// a good run is praised only.
func TestServingFindings(t *testing.T) {
	text := func(d *result.Data) map[string]string {
		out := map[string]string{}
		for _, f := range reports.Findings(d) {
			out[f.Rule] = string(f.Level) + ": " + f.Text
		}
		return out
	}
	d := reportstest.Served()
	got := text(d)
	for rule, want := range map[string]string{
		"answers":             "requests were answered (",
		"objectives":          "bad: Missed their objectives: chat (9",
		"sizing":              "warn: The peak of chat, 43 requests a second, takes at least 6 replicas at the best rate",
		"queues":              "warn: The longest queue was at chat, ",
		"idle-replicas":       "warn: Replicas with little to do: code <b>&\" (computing 3.4 % of the time)",
		"autoscaler-inactive": "bad: Autoscalers that cannot scale: HorizontalPodAutoscaler/default/code: FailedGetPodsMetric, “",
		"machines":            "warn: 2 orders for machines could not be filled, or not in time; the cloud took back 1 machine.",
	} {
		if !strings.Contains(got[rule], want) {
			t.Errorf("rule %s says %q, not %q", rule, got[rule], want)
		}
	}
	d.Summary.Starts.Total.P95 = 1e6 // slower than any load
	if got := text(d)["slow-starts"]; !strings.Contains(got, "the load of chat doubled within") {
		t.Errorf("slow starts: %q", got)
	}
	s := d.Summary.Serving
	delete(s.Services, "chat")
	v := s.Services[s.ServiceNames[1]]
	v.BusyHours, v.BusyFraction = v.ReadyHours*0.9, 0.9
	s.ServiceNames, s.Services[s.ServiceNames[1]] = s.ServiceNames[1:], v
	s.Requests, d.Services, d.Conditions, d.Summary.Machines = v.Requests, d.Services[1:], nil, nil
	got = text(d)
	for _, rule := range []string{"sizing", "queues", "idle-replicas", "autoscaler-inactive", "machines", "slow-starts", "waits"} {
		if got[rule] != "" {
			t.Errorf("rule %s says %q of a good run", rule, got[rule])
		}
	}
	for _, rule := range []string{"answers", "objectives"} {
		if !strings.HasPrefix(got[rule], "good: ") {
			t.Errorf("rule %s says %q of a good run", rule, got[rule])
		}
	}
}

// TestScalingCauses holds that the changes by their causes add up to all changes, also where there are many causes.
func TestScalingCauses(t *testing.T) {
	for _, reasons := range []int{1, 12, 13, 14, 40} {
		d := reportstest.Served()
		d.Scalings = nil
		net := int32(0)
		for i := range 100 {
			d.Scalings = append(d.Scalings, result.Scaling{Seconds: float64(i), Object: "o", From: int32(i % 5),
				To: int32(i % 7), By: "hpa", Reason: fmt.Sprint(i % reasons)})
			net += int32(i%7 - i%5)
		}
		var table reports.Table
		for _, s := range reports.Build(d) {
			if s.ID == "scaling" {
				table = s.Tables[0]
			}
		}
		var times, added, removed int32
		for _, row := range table.Rows {
			for i, to := range []*int32{&times, &added, &removed} {
				n, err := strconv.Atoi(row[i+2].Raw())
				if err != nil {
					t.Fatal(err)
				}
				*to += int32(n)
			}
		}
		if times != 100 || added-removed != net || len(table.Rows) != min(reasons, 13) {
			t.Errorf("%d reasons: %d rows, %d changes, %d - %d replicas, want %d", reasons, len(table.Rows), times, added,
				removed, net)
		}
	}
}
