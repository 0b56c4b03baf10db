package reports

import (
	"fmt"
	"math"
	"strings"

	"orrery/sim/result"
)

// onlyServices says that a run has services and no jobs: what is said of jobs would be zeros.
func onlyServices(d *result.Data) bool {
	return d.Summary.Serving != nil && len(d.Summary.Serving.ServiceNames) > 0 && d.Summary.Jobs.Submitted <= 0
}

// hasObjective reports whether a service has bounds.
func hasObjective(v *result.Service) bool {
	return v.TTFTBound > 0 || v.TPOTBound > 0 || v.E2EBound > 0
}

// endedRequests are those that count for the objectives.
func endedRequests(q *result.Requests) int64 { return q.Completed + q.Rejected + q.TimedOut }

// findAnswers says how many requests were answered.
func findAnswers(d *result.Data) (Level, string, bool) {
	s := d.Summary.Serving
	if s == nil || len(s.ServiceNames) == 0 {
		return Info, "", false
	}
	q := &s.Requests
	level := Info
	switch failed := ratio(float64(q.Rejected+q.TimedOut+q.InFlight), float64(q.Arrived)); {
	case failed > 0.01: // it only colours the finding
		level = Bad
	case failed == 0 && q.Arrived > 0 && !missedAny(s):
		level = Good
	}
	return level, servicesText(s), true
}

// missedAny reports whether a service missed its objectives.
func missedAny(s *result.Serving) bool {
	for _, v := range s.Services {
		if hasObjective(&v) && endedRequests(&v.Requests) > 0 && v.Attainment < v.Target {
			return true
		}
	}
	return false
}

// findObjectives says which services missed their objectives, by how much, and when it was worst.
func findObjectives(d *result.Data) (Level, string, bool) {
	s := d.Summary.Serving
	if s == nil {
		return Info, "", false
	}
	var missed []string
	with := 0
	for i := range d.Services {
		v, ok := s.Services[d.Services[i].Name]
		if !ok || !hasObjective(&v) || endedRequests(&v.Requests) == 0 {
			continue
		}
		if with++; v.Attainment >= v.Target {
			continue
		}
		text := fmt.Sprintf("%s (%s of its requests were within all bounds, %s were wanted", d.Services[i].Name,
			FormatShare(v.Attainment), FormatShare(v.Target))
		if from, to, ok := worstSpan(&d.Services[i].Series, v.Target); ok {
			text += fmt.Sprintf("; most misses between %s and %s", FormatDuration(from), FormatDuration(to))
		}
		missed = append(missed, text+")")
	}
	switch {
	case with == 0:
		return Info, "", false
	case len(missed) == 0 && with == 1:
		return Good, "The one service with objectives met them.", true
	case len(missed) == 0:
		return Good, fmt.Sprintf("All %d services with objectives met them.", with), true
	}
	const shown = 3
	more := ""
	if n := len(missed); n > shown {
		missed, more = missed[:shown], fmt.Sprintf("; and %d more", n-shown)
	}
	return Bad, "Missed their objectives: " + strings.Join(missed, "; ") + more + ".", true
}

// worstSpan is the longest run of bins below the target that holds most misses, in seconds since the beginning.
func worstSpan(r *result.ServiceSeries, target float64) (from, to float64, ok bool) {
	most, misses, begin := 0.0, 0.0, -1
	for i := range r.T {
		ended := clean(r.Completed[i] + r.Rejected[i] + r.TimedOut[i])
		if ended <= 0 || r.Attainment[i] >= target {
			if ended > 0 {
				begin, misses = -1, 0
			}
			continue
		}
		if begin < 0 {
			begin = i
		}
		if misses += ended - clean(r.Good[i]); misses > most {
			most, from, to, ok = misses, clean(r.T[begin]), clean(r.T[i]+r.Bin), true
		}
	}
	return from, to, ok
}

// Bounds that choose what is said of services; they change no figure.
const (
	busyLittle  = 0.3 // computing for less of the time is called idle
	queueMatter = 1   // requests waiting for each ready replica
)

// findIdleReplicas says what replicas cost that had nothing to do.
func findIdleReplicas(d *result.Data) (Level, string, bool) {
	s := d.Summary.Serving
	if s == nil {
		return Info, "", false
	}
	var parts []string
	hours, money := 0.0, 0.0
	for _, name := range s.ServiceNames {
		v := s.Services[name]
		idle := clean(v.ReadyHours) - clean(v.BusyHours)
		if idle <= 0 || v.BusyFraction >= busyLittle {
			continue
		}
		hours, money = hours+idle, money+float64(clean(v.USD)*ratio(idle, v.GPUHours))
		parts = append(parts, fmt.Sprintf("%s (computing %s of the time)", name,
			FormatShare(ratio(v.BusyHours, v.ReadyHours))))
	}
	if len(parts) == 0 {
		return Info, "", false
	}
	const shown = 3
	if n := len(parts); n > shown {
		parts = append(parts[:shown], fmt.Sprintf("%d more", n-shown))
	}
	text := fmt.Sprintf("Replicas with little to do: %s; they idled for %s GPU-hours", strings.Join(parts, ", "),
		FormatNumber(hours))
	if money > 0 {
		text += ", " + FormatUSD(money)
	}
	return Warn, text + ".", true
}

// findQueues says where requests queued at replicas, and when most.
func findQueues(d *result.Data) (Level, string, bool) {
	most, text := 0.0, ""
	for i := range d.Services {
		r := &d.Services[i].Series
		peak, at := maxOf(r.Waiting)
		if at < 0 || peak <= most || peak < queueMatter*max(1, clean(r.Ready[at])) {
			continue
		}
		most = peak
		text = fmt.Sprintf("The longest queue was at %s, %s after the start: %s requests waited in its servers (average "+
			"of %s)", d.Services[i].Name, FormatDuration(clean(r.T[at])), about(peak), FormatDuration(clean(r.Bin)))
		if n := clean(r.Ready[at]); n >= 1 {
			text += fmt.Sprintf(", %s for each ready replica", FormatNumber(peak/n))
		}
	}
	return Warn, text + ".", text != ""
}

// findSizing says how many replicas the peak of a service that missed its objective takes at least, and how many there
// were when it missed most.
func findSizing(d *result.Data) (Level, string, bool) {
	s := d.Summary.Serving
	if s == nil {
		return Info, "", false
	}
	for i := range d.Services {
		v, r := s.Services[d.Services[i].Name], &d.Services[i].Series
		if !hasObjective(&v) || endedRequests(&v.Requests) == 0 || v.Attainment >= v.Target || r.Bin <= 0 {
			continue
		}
		from, _, ok := worstSpan(r, v.Target)
		peak, _ := maxOf(r.Arrived)
		best := bestRate(r)
		if !ok || best <= 0 {
			continue
		}
		ready := clean(r.Ready[min(len(r.Ready)-1, int(from/r.Bin))])
		if takes := math.Ceil(peak / best); takes > ready {
			return Warn, fmt.Sprintf("The peak of %s, %s requests a second, takes at least %s at the best rate that one has "+
				"shown (%s a second); %s ready when most misses began.", d.Services[i].Name, about(peak),
				plural(int64(takes), "replica"), FormatNumber(best), about(ready)+" "+was(int64(math.Ceil(ready)))), true
		}
	}
	return Info, "", false
}

// findSlowStarts compares how long a new replica takes with how fast the load of a scaled service that missed its
// objective grew.
func findSlowStarts(d *result.Data) (Level, string, bool) {
	s, starts := d.Summary.Serving, d.Summary.Starts
	if s == nil || starts == nil || starts.Total.Count == 0 {
		return Info, "", false
	}
	for i := range d.Services {
		v := s.Services[d.Services[i].Name]
		if v.ScaleUps == 0 || !hasObjective(&v) || endedRequests(&v.Requests) == 0 || v.Attainment >= v.Target {
			continue
		}
		if doubled := doubling(&d.Services[i].Series); doubled > 0 && doubled < clean(starts.Total.P95) {
			return Warn, fmt.Sprintf("New replicas came slower than the load: one in twenty took %s or longer until it took "+
				"requests, while the load of %s doubled within %s.", FormatDuration(starts.Total.P95), d.Services[i].Name,
				FormatDuration(doubled)), true
		}
	}
	return Info, "", false
}

// doubling is the shortest time, in seconds and whole bins, in which arrivals grew to twice what they had been and to
// at least half of their peak; 0 when they never did.
func doubling(r *result.ServiceSeries) float64 {
	peak, _ := maxOf(r.Arrived)
	for width := 1; width < len(r.Arrived); width++ {
		for i := 0; i+width < len(r.Arrived); i++ {
			if a, b := clean(r.Arrived[i]), clean(r.Arrived[i+width]); a > 0 && b >= 2*a && b >= peak/2 {
				return clean(float64(width) * r.Bin)
			}
		}
	}
	return 0
}

// findInactive says which autoscalers cannot scale.
func findInactive(d *result.Data) (Level, string, bool) {
	var parts []string
	for _, x := range d.Conditions {
		if x.Type == "ScalingActive" && x.Status == "False" && x.Reason != "ScalingDisabled" {
			parts = append(parts, fmt.Sprintf("%s: %s, “%s”", x.Object, x.Reason, clip(x.Message, 140)))
		}
	}
	if len(parts) == 0 {
		return Info, "", false
	}
	const shown = 2
	if n := len(parts); n > shown {
		parts = append(parts[:shown], fmt.Sprintf("and %d more", n-shown))
	}
	return Bad, "Autoscalers that cannot scale: " + strings.Join(parts, "; ") + ".", true
}

// findMachines says which machines were not to be had, or were taken away.
func findMachines(d *result.Data) (Level, string, bool) {
	m := d.Summary.Machines
	if m == nil || m.Failed <= 0 && m.Interrupted <= 0 {
		return Info, "", false
	}
	var parts []string
	if m.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%s for machines could not be filled, or not in time", plural(m.Failed, "order")))
	}
	if m.Interrupted > 0 {
		parts = append(parts, fmt.Sprintf("the cloud took back %s", plural(m.Interrupted, "machine")))
	}
	text := strings.Join(parts, "; ")
	return Warn, strings.ToUpper(text[:1]) + text[1:] + ".", true
}

// findLostTries says what went with replicas.
func findLostTries(d *result.Data) (Level, string, bool) {
	s := d.Summary.Serving
	if s == nil || s.Requests.LostTries <= 0 {
		return Info, "", false
	}
	return Warn, fmt.Sprintf("%s %s lost with a replica that went before it had answered; clients that retry sent them "+
		"again.", plural(s.Requests.LostTries, "attempt"), was(s.Requests.LostTries)), true
}

// servingCards are the figures of services on the first screen.
func servingCards(s *result.Serving) []Card {
	q := &s.Requests
	answered := Card{"Requests answered", absent, "none arrived"}
	if q.Arrived > 0 {
		answered.Value = FormatShare(ratio(float64(q.Completed+q.Stopped), float64(q.Arrived)))
		answered.Sub = "of " + FormatCount(float64(q.Arrived))
	}
	met := Card{"Objectives met", absent, "no service has any"}
	with, ok := 0, 0
	for _, v := range s.Services {
		if hasObjective(&v) && endedRequests(&v.Requests) > 0 {
			if with++; v.Attainment >= v.Target {
				ok++
			}
		}
	}
	if with > 0 {
		met.Value = fmt.Sprintf("%d of %d", ok, with)
		met.Sub = FormatShare(ratio(float64(q.Good), float64(endedRequests(q)))) + " of requests within bounds"
	}
	tokens := 0.0
	for _, name := range s.ServiceNames {
		if v := s.Services[name]; !v.InPipeline { // the stages of a pipeline work on the same requests
			tokens += float64(v.InputTokens + v.OutputTokens)
		}
	}
	price := Card{"Million tokens", absent, "no token was answered"}
	if tokens > 0 {
		price.Value, price.Sub = absent, "no price is known for the GPUs"
		if clean(s.USD) > 0 {
			price.Value, price.Sub = FormatPrice(1e6*ratio(s.USD, tokens)), "input and output, idle replicas included"
		}
	}
	good := Card{"Thousand good requests", absent, "none was within the bounds"}
	if q.Good > 0 {
		good.Sub = "no price is known for the GPUs"
		if clean(s.USD) > 0 {
			good.Value = FormatPrice(1000 * ratio(s.USD, float64(q.Good)))
			good.Sub = "within all objectives"
		}
	}
	return []Card{answered, met, price, good}
}
