package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"orrery/sim/result"
)

// RunsMax is the most runs that one comparison takes: more cannot be told apart in a chart.
const RunsMax = 8

// Run is a finished run under the name by which readers know it.
type Run struct {
	Name string
	Data *result.Data
}

// Comparison is several runs side by side.
type Comparison struct {
	Runs     []Run
	Title    string
	Facts    []string // of all runs: what was asked of each
	Sections []Section
}

// Compare puts runs side by side, in the order given. It is a pure function of the data. Runs that were asked
// different things are shown, and said to be no answers to one question: no verdict is given then.
func Compare(runs []Run) (*Comparison, error) {
	switch n := len(runs); {
	case n < 2:
		return nil, fmt.Errorf("a comparison takes at least two runs")
	case n > RunsMax:
		return nil, fmt.Errorf("%d runs: at most %d can be told apart in a chart", n, RunsMax)
	}
	for i, r := range runs {
		if slices.ContainsFunc(runs[:i], func(o Run) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("two runs are called %s: nobody could tell them apart", r.Name)
		}
	}
	c := &Comparison{Runs: runs, Title: fmt.Sprintf("Comparison of %d runs", len(runs))}
	x := &compared{runs: runs, services: commonServices(runs), roles: runRoles[:len(runs)]}
	x.unlike = x.differences()
	c.Facts = []string{strings.Join(x.names(), ", ")}
	for _, p := range []struct {
		id, title, question string
		build               func() Content
	}{
		{"compare", "Comparison", "Which run is cheapest, and what do users feel?", x.summary},
		{"users", "What users felt", "Were the objectives met, and how long did users wait?", x.users},
		{"over-time", "Over time", "When did the runs part?", x.overTime},
		{"serving-cost", "What it took", "How much GPU time did the services hold, and what did it cost?", x.servingCost},
		{"cluster", "The whole cluster", "What did all GPUs and machines cost, used or not?", x.cluster},
		{"settings", "What differs", "Which settings of the scenarios differ?", x.settings},
	} {
		if content := p.build(); !content.Absent {
			c.Sections = append(c.Sections, Section{Panel{ID: p.id, Title: p.title, Question: p.question}, content})
		}
	}
	return c, nil
}

// runRoles colour the runs.
var runRoles = []Role{RoleCPU, RoleGPUCount, RoleGang, RoleNodeKind, RoleMemory, RoleMIG, RoleOther, RoleDown}

// compared is what the panels of a comparison work on.
type compared struct {
	runs     []Run
	services []string // with requests of their own, in any run
	roles    []Role
	unlike   []string // what the runs were asked differently
}

func (x *compared) names() []string {
	out := make([]string, len(x.runs))
	for i, r := range x.runs {
		out[i] = r.Name
	}
	return out
}

// commonServices are the services with requests of their own, in the order in which the runs name them.
func commonServices(runs []Run) (out []string) {
	for _, r := range runs {
		if r.Data.Summary.Serving == nil {
			continue
		}
		for _, name := range r.Data.Summary.Serving.ServiceNames {
			if v := r.Data.Summary.Serving.Services[name]; !v.InPipeline && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// service is a run's account of a service.
func (r *Run) service(name string) (v result.Service, detail *result.ServiceDetail) {
	if r.Data.Summary.Serving == nil {
		return v, nil
	}
	for i := range r.Data.Services {
		if r.Data.Services[i].Name == name {
			return r.Data.Summary.Serving.Services[name], &r.Data.Services[i]
		}
	}
	return v, nil
}

// differences says where the runs were asked different things: other requests, or other jobs.
func (x *compared) differences() (out []string) {
	first := &x.runs[0]
	for i := range x.runs[1:] {
		r := &x.runs[i+1]
		for _, name := range x.services {
			a, da := first.service(name)
			b, db := r.service(name)
			switch {
			case da == nil && db == nil:
			case da == nil || db == nil:
				with, without := first, r
				if da == nil {
					with, without = r, first
				}
				out = append(out, fmt.Sprintf("%s has a service %s, %s has none", with.Name, name, without.Name))
			case a.Requests.Arrived != b.Requests.Arrived:
				out = append(out, fmt.Sprintf("%s requests arrived at %s in %s, %s in %s",
					FormatCount(float64(a.Requests.Arrived)), name, first.Name, FormatCount(float64(b.Requests.Arrived)), r.Name))
			case !sameArrivals(&da.Series, &db.Series):
				out = append(out, fmt.Sprintf("the requests of %s arrived at other times in %s than in %s", name, r.Name,
					first.Name))
			}
		}
		if a, b := first.Data.Summary.Jobs.Submitted, r.Data.Summary.Jobs.Submitted; a != b {
			out = append(out, fmt.Sprintf("%s submitted in %s, %s in %s", plural(a, "job"), first.Name, plural(b, "job"),
				r.Name))
		}
	}
	return out
}

// sameArrivals reports whether as many requests had arrived in two runs at every end of a bin that they share.
func sameArrivals(a, b *result.ServiceSeries) bool {
	if len(a.T) == 0 || len(b.T) == 0 {
		return true
	}
	edges := gridOf(a, b)
	x, y := onto(edges, a, a.Arrived, true), onto(edges, b, b.Arrived, true)
	for i := range x {
		// One that ended before the other has a shorter last bin, and hence another rate in it.
		if last := i+1 >= len(x) || edges[i+1] >= endOf(a) || edges[i+1] >= endOf(b); last {
			break
		}
		if math.Abs(x[i]-y[i]) > 1e-6*max(1, math.Abs(x[i])) {
			return false
		}
	}
	return true
}

// endOf is the end of a series in seconds.
func endOf(r *result.ServiceSeries) float64 {
	if len(r.T) == 0 {
		return 0
	}
	return clean(r.T[len(r.T)-1] + r.Bin)
}

// gridOf are the edges, in seconds, of bins that are as wide as the widest of any of the series and cover them all.
func gridOf(series ...*result.ServiceSeries) []float64 {
	width, end := 0.0, 0.0
	for _, r := range series {
		width, end = max(width, clean(r.Bin)), max(end, endOf(r))
	}
	if width <= 0 || end <= 0 {
		return nil
	}
	width = max(width, end/pointsMax)
	out := []float64{0}
	for t := width; t < end-width/1e6; t += width {
		out = append(out, t)
	}
	return append(out, end)
}

// onto puts a series onto the bins between edges: the mean of those of its bins that begin there, or the largest; 0
// where there are none.
func onto(edges []float64, r *result.ServiceSeries, v []float64, mean bool) []float64 {
	out := make([]float64, max(0, len(edges)-1))
	n := make([]float64, len(out))
	for i := range r.T {
		k, exact := slices.BinarySearch(edges, clean(r.T[i])+clean(r.Bin)/1e6)
		if !exact {
			k--
		}
		if k < 0 || k >= len(out) || i >= len(v) {
			continue
		}
		n[k]++
		if mean {
			out[k] += clean(v[i])
		} else {
			out[k] = max(out[k], clean(v[i]))
		}
	}
	for k := range out {
		if mean {
			out[k] = ratio(out[k], n[k])
		}
	}
	return out
}
