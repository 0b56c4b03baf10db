package reports

import (
	"fmt"
	"hash/fnv"
	"strings"

	"orrery/sim/result"
)

// servicesShown bounds the services that have charts of their own: those that hold most GPU time.
const servicesShown = 8

func servicesPanel() Panel {
	return Panel{"services", "Services", "What did users of the services feel?", buildServices}
}

func buildServices(d *result.Data) Content {
	s := d.Summary.Serving
	if s == nil || len(s.ServiceNames) == 0 {
		return Content{Headline: "There were no services.", Absent: true}
	}
	counts := Table{ID: "requests", Title: "Requests", Columns: []Column{{"service", "Service", "", Text},
		{"arrived", "Arrived", "", Count}, {"completed", "Completed", "", Count}, {"rejected", "Rejected", "", Count},
		{"too_long", "Too long for a server", "", Count},
		{"timed_out", "Timed out", "", Count}, {"stopped", "Answered by a stage", "", Count},
		{"in_flight", "In flight", "", Count}, {"retries", "Retries", "", Count},
		{"lost_tries", "Lost with a replica", "", Count}}}
	felt := Table{ID: "latencies", Title: "Latencies of completed requests", Columns: []Column{
		{"service", "Service", "", Text}, {"model", "Model", "", Text},
		{"ttft_p50_seconds", "TTFT, median", "s", Duration}, {"ttft_p95_seconds", "p95", "s", Duration},
		{"ttft_p99_seconds", "p99", "s", Duration}, {"tpot_p50_seconds", "TPOT, median", "s", Duration},
		{"tpot_p95_seconds", "p95", "s", Duration}, {"tpot_p99_seconds", "p99", "s", Duration},
		{"e2e_p50_seconds", "End to end, median", "s", Duration}, {"e2e_p99_seconds", "p99", "s", Duration},
		{"queue_p99_seconds", "Queue, p99", "s", Duration}}}
	for _, name := range s.ServiceNames {
		v := s.Services[name]
		q := &v.Requests
		counts.Rows = append(counts.Rows, []Cell{T(name), I(q.Arrived), I(q.Completed), I(q.Rejected), I(q.TooLong),
			I(q.TimedOut), I(q.Stopped), I(q.InFlight), I(q.Retries), I(q.LostTries)})
		row := []Cell{T(name), T(modelOf(&v))}
		for _, x := range []struct {
			d *result.Distribution
			f float64
		}{{&v.TTFT, v.TTFT.P50}, {&v.TTFT, v.TTFT.P95}, {&v.TTFT, v.TTFT.P99}, {&v.TPOT, v.TPOT.P50},
			{&v.TPOT, v.TPOT.P95}, {&v.TPOT, v.TPOT.P99}, {&v.E2E, v.E2E.P50}, {&v.E2E, v.E2E.P99},
			{&v.QueueWait, v.QueueWait.P99}} {
			row = append(row, numIf(x.d.Count > 0, x.f))
		}
		felt.Rows = append(felt.Rows, row)
	}
	return Content{Headline: servicesText(s), Tables: []Table{counts, felt}, Notes: []string{
		fmt.Sprintf("n = %s. TTFT: from the client's sending to the first token at the client, stages and hops included. "+
			"TPOT: time per output token after the first. End to end: to the last token. Queue: from arrival at the service "+
			"until the model begins. Percentiles are within 0.8 %%; counts, means and maxima are exact.",
			plural(s.Requests.Completed, "completed request"))}}
}

func modelOf(v *result.Service) string {
	if v.Model == "" {
		return v.Engine
	}
	return v.Model
}

// servicesText says how many requests were answered, and how well.
func servicesText(s *result.Serving) string {
	q := &s.Requests
	if q.Arrived == 0 {
		return "No requests arrived."
	}
	text := fmt.Sprintf("%s of %s requests were answered", FormatShare(ratio(float64(q.Completed+q.Stopped),
		float64(q.Arrived))), FormatCount(float64(q.Arrived)))
	var bad []string
	for _, x := range []struct {
		n    int64
		what string
	}{{q.Rejected - q.TooLong, "rejected"}, {q.TooLong, "too long for a server"},
		{q.TimedOut, "timed out"}, {q.InFlight, "still in flight at the end"}} {
		if x.n > 0 {
			bad = append(bad, FormatCount(float64(x.n))+" "+x.what)
		}
	}
	if len(bad) > 0 {
		text += " (" + strings.Join(bad, ", ") + ")"
	}
	if ended := q.Completed + q.Rejected + q.TimedOut; ended > 0 && bounded(s) {
		text += fmt.Sprintf("; %s were within all objectives", FormatShare(ratio(float64(q.Good), float64(ended))))
	}
	return text + "."
}

// bounded reports whether any service has objectives.
func bounded(s *result.Serving) bool {
	for _, v := range s.Services {
		if hasObjective(&v) {
			return true
		}
	}
	return false
}

// shownServices are the services that have charts, in the scenario's order, and a note on those that have none.
func shownServices(d *result.Data) (list []*result.ServiceDetail, note string) {
	if d.Summary.Serving == nil {
		return nil, ""
	}
	least := 0.0
	if len(d.Services) > servicesShown {
		var hours []float64
		for i := range d.Services {
			hours = append(hours, clean(d.Summary.Serving.Services[d.Services[i].Name].GPUHours))
		}
		least = largest(hours, servicesShown)
		note = fmt.Sprintf("Charts of the %d services with most GPU time, of %d.", servicesShown, len(d.Services))
	}
	for i := range d.Services {
		if len(list) < servicesShown && clean(d.Summary.Serving.Services[d.Services[i].Name].GPUHours) >= least {
			list = append(list, &d.Services[i])
		}
	}
	return list, note
}

// largest is the n-th largest value.
func largest(v []float64, n int) float64 {
	sorted := append([]float64(nil), v...)
	for i := range min(n, len(sorted)) { // few services: a selection is enough
		for j := i + 1; j < len(sorted); j++ {
			if sorted[j] > sorted[i] {
				sorted[i], sorted[j] = sorted[j], sorted[i]
			}
		}
	}
	return sorted[min(n, len(sorted))-1]
}

// idOf makes a name fit for identifiers of charts and names of files: other characters become dashes, and a number
// keeps names apart that differ in them only.
func idOf(name string) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, name)
	if id == name {
		return id
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return fmt.Sprintf("%s-%08x", id, h.Sum32())
}
