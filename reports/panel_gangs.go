package reports

import (
	"fmt"

	"orrery/sim/result"
)

func gangsPanel() Panel {
	return Panel{"gangs", "Gangs", "Were pods that need each other placed together?", buildGangs}
}

func buildGangs(d *result.Data) Content {
	g, p := d.Summary.Gangs, d.Summary.PartlyPlaced
	if g == nil && p == nil {
		return Content{Headline: "No job of several pods was placed."}
	}
	t := Table{ID: "counts", Title: "Gangs and partly placed jobs", Columns: []Column{{"figure", "Figure", "", Text},
		{"value", "Value", "", Number}, {"unit", "Unit", "", Text}}}
	times := distributionTable("times", "Times", "Jobs")
	c := Content{}
	if g != nil {
		t.Rows = append(t.Rows, []Cell{T("gangs submitted"), I(g.Jobs), T("jobs")},
			[]Cell{T("wholly placed at least once"), I(g.Placed), T("jobs")},
			[]Cell{T("never placed"), I(g.NeverPlaced), T("jobs")})
		addDistribution(&times, "wait of gangs", "s", &g.Wait)
	}
	if p != nil {
		t.Rows = append(t.Rows, []Cell{T("jobs partly placed for some time"), I(p.Jobs), T("jobs")},
			[]Cell{T("owned by partly placed jobs"), N(p.GPUHours), T("GPU-hours")})
		addDistribution(&times, "partly placed", "s", &p.Seconds)
	}
	c.Headline = gangsText(g, p)
	c.Tables = []Table{t, times}
	if g != nil && g.Wait.Count > 0 {
		w := &g.Wait
		u := unitOf(clean(w.Max))
		chart := Chart{ID: "gang-waits", Title: "Queue wait of gangs", Kind: Bar, X: Axis{"statistic", "of gangs placed"},
			Y: Axis{"queue wait", u.name}, Series: []ChartSeries{{Name: "queue wait", Role: RoleTail}},
			Categories: []string{"mean", "median", "p90", "p95", "p99", "max"}}
		for _, f := range []float64{w.Mean, w.P50, w.P90, w.P95, w.P99, w.Max} {
			chart.Series[0].Values = append(chart.Series[0].Values, clean(f)/u.seconds)
		}
		c.Charts = []Chart{chart}
	}
	c.Notes = []string{"Gang: a job whose pods must be placed together. Wait: from submission until all pods are bound. " +
		"Partly placed: from the first pod bound until all are, the first time, of all jobs of several pods; GPUs owned " +
		"meanwhile do nothing where pods need each other. Pods of a gang, too, are bound one after the other, within " +
		"milliseconds."}
	return c
}

func gangsText(g *result.Gangs, p *result.PartlyPlaced) string {
	waste := "no GPU time was held by jobs that had a part of their pods only"
	if p != nil && clean(p.GPUHours) > 0 {
		waste = FormatNumber(p.GPUHours) + " GPU-hours were held by jobs that had a part of their pods only"
	}
	if g == nil || g.Jobs <= 0 {
		return "No job was a gang, placed all together or not at all; " + waste + "."
	}
	return fmt.Sprintf("%s of %s %s placed; %s.", FormatCount(float64(g.Placed)), plural(g.Jobs, "gang"), was(g.Jobs),
		waste)
}
