package reports

import (
	"fmt"
	"math"
	"strings"
)

// summary is the first screen of a comparison.
func (x *compared) summary() Content {
	c := Content{Findings: x.findings(), Notes: []string{"Every figure is of the runs' own results, folded from their " +
		"journals with one price book each; nothing was simulated for the comparison."}}
	for i := range x.runs {
		c.Cards = append(c.Cards, x.card(&x.runs[i]))
	}
	c.Headline = c.Findings[0].Text
	return c
}

// card is what a run costs, and what it was worth.
func (x *compared) card(r *Run) Card {
	s := &r.Data.Summary
	card := Card{Label: clip(r.Name, 40), Value: absent}
	if usd, ok := x.cost(r); ok {
		card.Value = shortUSD(usd)
	}
	var parts []string
	if share, ok := within(r); ok {
		parts = append(parts, FormatShare(share)+" within objectives")
	}
	if len(x.services) > 0 {
		if v, _ := r.service(x.services[0]); v.TTFT.Count > 0 {
			parts = append(parts, "first token p99 "+FormatDuration(v.TTFT.P99))
		}
	}
	if s.Jobs.Submitted > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s completed", FormatCount(float64(s.Jobs.Completed)),
			plural(s.Jobs.Submitted, "job")))
	}
	card.Sub = strings.Join(parts, "; ")
	return card
}

// within is the part of the requests of a run that were within all objectives; ok is false where none ended or no
// service has objectives.
func within(r *Run) (share float64, ok bool) {
	s := r.Data.Summary.Serving
	if s == nil || !bounded(s) || endedRequests(&s.Requests) == 0 {
		return 0, false
	}
	return ratio(float64(s.Requests.Good), float64(endedRequests(&s.Requests))), true
}

// cost is what a run is compared by: the whole cluster where that differs, because machines came and went or are not
// the same, and else the GPU time that the services held. ok is false where there is no price.
func (x *compared) cost(r *Run) (usd float64, ok bool) {
	if x.byServices() {
		return clean(r.Data.Summary.Serving.USD), true
	}
	usd = clean(r.Data.Summary.Cost.TotalUSD)
	return usd, usd > 0
}

// byServices reports whether the runs are compared by what their services held: all have services with a price, and
// their clusters cost the same.
func (x *compared) byServices() bool {
	least, most := math.Inf(1), 0.0
	for i := range x.runs {
		s := &x.runs[i].Data.Summary
		if s.Serving == nil || clean(s.Serving.USD) <= 0 {
			return false
		}
		total := clean(s.Cost.TotalUSD)
		least, most = min(least, total), max(most, total)
	}
	const same = 0.002 // runs that drain end at slightly different times
	return most-least <= same*most
}

// met reports whether a run has objectives and met all of them.
func (x *compared) met(r *Run) bool {
	if _, ok := within(r); !ok {
		return false
	}
	return !missedAny(r.Data.Summary.Serving)
}

// findings say which run is cheapest, what the cheaper ones gave up, and how far the users' waits are apart.
func (x *compared) findings() []Finding {
	out := []Finding{x.verdict()}
	if len(x.unlike) > 0 {
		return out
	}
	if f, ok := x.cheaper(); ok {
		out = append(out, f)
	}
	for _, name := range x.services {
		if f, ok := x.spread(name); ok {
			out = append(out, f)
		}
	}
	if f, ok := x.jobs(); ok {
		out = append(out, f)
	}
	what := "Cost: the whole cluster, used or not."
	if x.byServices() {
		what = "Cost: the GPU time that the services held, from a replica's binding to its release. The clusters cost the " +
			"same in all runs, so this is saved only where somebody else uses the GPUs or the cloud takes them back."
	}
	return append(out, Finding{"basis", Info, what})
}

// cheapest is the cheapest of the runs that something is true of, nil where there is none with a price.
func (x *compared) cheapest(is func(r *Run) bool) (best *Run, usd float64) {
	for i := range x.runs {
		r := &x.runs[i]
		if v, ok := x.cost(r); ok && is(r) && (best == nil || v < usd) {
			best, usd = r, v
		}
	}
	return best, usd
}

// verdict is the answer.
func (x *compared) verdict() Finding {
	if len(x.unlike) > 0 {
		const shown = 3
		more := ""
		if n := len(x.unlike); n > shown {
			more = fmt.Sprintf("; and %d more differences", n-shown)
		}
		return Finding{"comparable", Bad, "These runs do not answer one question, so none is called the better one: " +
			strings.Join(x.unlike[:min(shown, len(x.unlike))], "; ") + more + "."}
	}
	objectives := false
	for i := range x.runs {
		_, ok := within(&x.runs[i])
		objectives = objectives || ok
	}
	if !objectives {
		if r, usd := x.cheapest(func(*Run) bool { return true }); r != nil {
			return Finding{"verdict", Info, fmt.Sprintf("%s is the cheapest run: %s.", r.Name, FormatUSD(usd))}
		}
		return Finding{"verdict", Info, "No prices are known, and no run has objectives: the tables have the rest."}
	}
	if r, usd := x.cheapest(x.met); r != nil {
		met := 0
		for i := range x.runs {
			if x.met(&x.runs[i]) {
				met++
			}
		}
		if met == 1 {
			return Finding{"verdict", Good, fmt.Sprintf("%s is the only run that met all objectives: %s.", r.Name,
				FormatUSD(usd))}
		}
		text := fmt.Sprintf("%s is the cheapest of the %d runs that met all objectives: %s", r.Name, met, FormatUSD(usd))
		if next, more := x.cheapest(func(o *Run) bool { return o != r && x.met(o) }); next != nil && more > usd {
			text += fmt.Sprintf("; %s costs %s", next.Name, moreThan(more, usd))
		}
		return Finding{"verdict", Good, text + "."}
	}
	best, most := "", -1.0
	for i := range x.runs {
		if share, ok := within(&x.runs[i]); ok && share > most {
			best, most = x.runs[i].Name, share
		}
	}
	for i := range x.runs {
		if x.met(&x.runs[i]) {
			return Finding{"verdict", Info, x.runs[i].Name + " met all objectives; its cost is not known."}
		}
	}
	return Finding{"verdict", Bad, fmt.Sprintf("No run met all objectives; %s came closest, with %s of its requests "+
		"within them.", best, FormatShare(most))}
}

// moreThan says how much more an amount is than a smaller one.
func moreThan(more, less float64) string {
	if r := ratio(more, less); r >= 2 {
		return FormatNumber(r) + " times as much"
	}
	return FormatShare(ratio(more, less)-1) + " more"
}

// cheaper says what the cheapest run saves against the cheapest that met the objectives, and what users pay for it.
func (x *compared) cheaper() (Finding, bool) {
	good, usd := x.cheapest(x.met)
	any, least := x.cheapest(func(r *Run) bool { return true })
	if good == nil || any == nil || any == good || least >= usd {
		return Finding{}, false
	}
	share, ok := within(any)
	if !ok {
		return Finding{}, false
	}
	text := fmt.Sprintf("%s costs %s less (%s), but only %s of its requests were within the objectives", any.Name,
		FormatShare(1-ratio(least, usd)), FormatUSD(least), FormatShare(share))
	s := any.Data.Summary.Serving
	if n := endedRequests(&s.Requests) - s.Requests.Good; n > 0 {
		text += fmt.Sprintf(": %s %s not", plural(n, "request"), was(n))
	}
	return Finding{"cheaper", Warn, text + "."}, true
}

// spread says how far apart the tails of the runs are for a service.
func (x *compared) spread(name string) (Finding, bool) {
	var low, high *Run
	var least, most float64
	for i := range x.runs {
		r := &x.runs[i]
		v, _ := r.service(name)
		if v.TTFT.Count == 0 {
			continue
		}
		if low == nil || v.TTFT.P99 < least {
			low, least = r, v.TTFT.P99
		}
		if high == nil || v.TTFT.P99 > most {
			high, most = r, v.TTFT.P99
		}
	}
	if low == nil || ratio(most, least) < 1.25 { // closer than that it decides nothing
		return Finding{}, false
	}
	return Finding{"tails", Info, fmt.Sprintf("One in a hundred users of %s waited %s or longer for the first token with "+
		"%s, and %s with %s.", name, FormatDuration(least), low.Name, FormatDuration(most), high.Name)}, true
}

// jobs says in which runs most and fewest jobs completed.
func (x *compared) jobs() (Finding, bool) {
	low, high := &x.runs[0], &x.runs[0]
	done := func(r *Run) int64 { return r.Data.Summary.Jobs.Completed }
	for i := range x.runs {
		if r := &x.runs[i]; done(r) < done(low) {
			low = r
		} else if done(r) > done(high) {
			high = r
		}
	}
	if done(low) == done(high) {
		return Finding{}, false
	}
	return Finding{"jobs", Info, fmt.Sprintf("%s of %s completed with %s, %s with %s.", FormatCount(float64(done(high))),
		plural(high.Data.Summary.Jobs.Submitted, "job"), high.Name, FormatCount(float64(done(low))), low.Name)}, true
}
