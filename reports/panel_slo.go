package reports

import (
	"fmt"
	"strings"

	"orrery/sim/result"
)

func sloPanel() Panel {
	return Panel{"slo", "Objectives", "Were the service level objectives met, and what is left of the error budget?",
		buildSLO}
}

func buildSLO(d *result.Data) Content {
	s := d.Summary.Serving
	if s == nil || !bounded(s) {
		return Content{Headline: "No service has objectives.", Absent: true}
	}
	t := Table{ID: "objectives", Title: "Objectives", Columns: []Column{{"service", "Service", "", Text},
		{"ttft_seconds", "TTFT at most", "s", Duration}, {"tpot_seconds", "TPOT at most", "s", Duration},
		{"e2e_seconds", "End to end at most", "s", Duration}, {"target_share", "Wanted", "", Share},
		{"attained_share", "Attained", "", Share}, {"error_budget_share", "Error budget used", "", Share},
		{"goodput_per_second", "Goodput", "requests/s", Number}}}
	var missed []string
	with := 0
	for _, name := range s.ServiceNames {
		v := s.Services[name]
		if !hasObjective(&v) {
			continue
		}
		ended := endedRequests(&v.Requests)
		if ended > 0 {
			with++
			if v.Attainment < v.Target {
				missed = append(missed, name)
			}
		}
		t.Rows = append(t.Rows, []Cell{T(name), numIf(v.TTFTBound > 0, v.TTFTBound), numIf(v.TPOTBound > 0, v.TPOTBound),
			numIf(v.E2EBound > 0, v.E2EBound), N(v.Target), numIf(ended > 0, v.Attainment),
			numIf(ended > 0 && v.Target < 1, v.ErrorBudgetUsed), N(v.Goodput)})
	}
	c := Content{Tables: []Table{t}, Headline: sloText(s, missed, with), Notes: []string{
		"Attained: requests within all bounds ÷ all that ended, rejected and timed-out ones included. Error budget used: " +
			"what missed ÷ what may miss; above 100 % the objective is missed. Goodput: requests within all bounds, per " +
			"second. A span of time in which no request ended shows 100 %."}}
	list, note := shownServices(d)
	for _, x := range list {
		v, r := s.Services[x.Name], &x.Series
		b := newBins(r.T, r.Bin, len(r.T), pointsMax)
		if b.n == 0 || !hasObjective(&v) {
			continue
		}
		target := make([]float64, len(b.edges)-1)
		for i := range target {
			target[i] = 100 * v.Target
		}
		share := b.mean(r.Attainment)
		for i := range share {
			share[i] *= 100
		}
		c.Charts = append(c.Charts, Chart{ID: "attainment-" + idOf(x.Name),
			Title: x.Name + ": requests within all objectives", Kind: Line,
			X: Axis{"time", b.unit.name}, Y: Axis{"within all bounds", "%"}, Times: b.edges,
			Series: []ChartSeries{{Name: "attained", Role: RoleUsed, Values: share},
				{Name: "wanted", Role: RoleTarget, Values: target}}},
			budgetChart(x, &v, b))
	}
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c
}

// budgetChart draws the part of the whole run's error budget that has been used up to each point.
func budgetChart(x *result.ServiceDetail, v *result.Service, b bins) Chart {
	r := &x.Series
	var ended, total, bad float64
	for i := range r.T {
		total += clean(r.Completed[i] + r.Rejected[i] + r.TimedOut[i])
	}
	used := make([]float64, len(r.T))
	for i := range r.T {
		ended = clean(r.Completed[i] + r.Rejected[i] + r.TimedOut[i])
		bad += ended - clean(r.Good[i])
		used[i] = 100 * ratio(bad, total*(1-v.Target))
	}
	all := make([]float64, len(b.edges)-1)
	for i := range all {
		all[i] = 100
	}
	return Chart{ID: "budget-" + idOf(x.Name), Title: x.Name + ": error budget used", Kind: Line,
		X: Axis{"time", b.unit.name}, Y: Axis{"of the run's error budget", "%"}, Times: b.edges,
		Series: []ChartSeries{{Name: "used", Role: RoleLost, Values: b.peak(used)},
			{Name: "all there is", Role: RoleTarget, Values: all}}}
}

func sloText(s *result.Serving, missed []string, with int) string {
	if with == 0 {
		return "No request of a service with objectives ended."
	}
	if with == 1 {
		for _, name := range s.ServiceNames {
			if v := s.Services[name]; hasObjective(&v) && endedRequests(&v.Requests) > 0 {
				verdict := "met"
				if len(missed) > 0 {
					verdict = "missed"
				}
				return fmt.Sprintf("The objective of %s was %s: %s of the requests were within its bounds, %s were wanted.", name,
					verdict, FormatShare(v.Attainment), FormatShare(v.Target))
			}
		}
	}
	if len(missed) == 0 {
		return fmt.Sprintf("All %d services met their objectives.", with)
	}
	const shown = 5
	names := strings.Join(missed[:min(shown, len(missed))], ", ")
	if len(missed) > shown {
		names += ", …"
	}
	return fmt.Sprintf("%d of %d services missed their objectives: %s.", len(missed), with, names)
}
