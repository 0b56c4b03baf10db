package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/result"
)

// rule derives one finding from the numbers; ok is false where it has nothing to say.
type rule struct {
	name string
	find func(d *result.Data) (level Level, text string, ok bool)
}

// rules is the explicit list of rules, most important first. Each speaks about numbers of its own, so that no two
// findings can contradict each other.
func rules() []rule {
	return []rule{
		{"expectations", findExpectations},
		{"answers", findAnswers},
		{"objectives", findObjectives},
		{"use", findUse},
		{"waits", findWaits},
		{"end", findEnd},
		{"autoscaler-inactive", findInactive},
		{"sizing", findSizing},
		{"queues", findQueues},
		{"slow-starts", findSlowStarts},
		{"machines", findMachines},
		{"lost-tries", findLostTries},
		{"idle-replicas", findIdleReplicas},
		{"rejected", findRejected},
		{"speed", findSpeed},
		{"gangs", findGangs},
		{"idle", findIdle},
		{"causes", findCauses},
		{"cost", findCost},
		{"down", findDown},
		{"lost", findLost},
		{"repeatable", findRepeatable},
	}
}

// Findings applies every rule. Expectations that were missed, what users of services got, how full the cluster was and
// how long jobs waited come first, then what is wrong: a page shows the first few and folds the others away.
func Findings(d *result.Data) []Finding {
	var first, wrong, rest []Finding
	for _, r := range rules() {
		level, text, ok := r.find(d)
		f := Finding{r.name, level, text}
		switch {
		case !ok:
		case slices.Contains([]string{"answers", "objectives", "use", "waits"}, r.name),
			r.name == "expectations" && level == Bad: // those that were met are of interest to their author only
			first = append(first, f)
		case level == Bad || level == Warn:
			wrong = append(wrong, f)
		default:
			rest = append(rest, f)
		}
	}
	return slices.Concat(first, wrong, rest)
}

// inService is the GPU time that could have been used, in GPU-hours: capacity − down, which is used + idle. The sum
// does not lose a small part beside a large down time, as the difference would.
func inService(g *result.GPU) float64 { return max(0, clean(g.UsedHours)+clean(g.IdleHours)) }

// idleWhileWaiting is the idle GPU time that waiting pods asked for, in GPU-hours.
func idleWhileWaiting(g *result.GPU) float64 {
	return clean(g.IdleFragmentedHours) + clean(g.IdleWaitingHours)
}

func findExpectations(d *result.Data) (Level, string, bool) {
	all := d.Summary.Expectations
	if len(all) == 0 {
		return Info, "", false
	}
	var missed []string
	for _, e := range all {
		if !e.Met {
			missed = append(missed, missedText(e))
		}
	}
	if len(missed) == 0 {
		if len(all) == 1 {
			return Good, "The scenario's one expectation was met.", true
		}
		return Good, fmt.Sprintf("All %d expectations of the scenario were met.", len(all)), true
	}
	n := len(missed)
	const shown = 3
	more := ""
	if n > shown {
		missed, more = missed[:shown], fmt.Sprintf("; and %d more", n-shown)
	}
	if len(all) == 1 {
		return Bad, "The scenario's one expectation was missed: " + missed[0] + ".", true
	}
	return Bad, fmt.Sprintf("%d of %s %s missed: %s%s.", n, plural(int64(len(all)), "expectation"), was(int64(n)),
		strings.Join(missed, "; "), more), true
}

// missedText says how one expectation was missed, with enough digits that the two numbers differ.
func missedText(e result.Expectation) string {
	compare := func(word string, bound float64) string {
		v, b := strconv.FormatFloat(e.Value, 'g', 6, 64), strconv.FormatFloat(bound, 'g', 6, 64)
		if v == b {
			v, b = rawNumber(e.Value), rawNumber(bound)
		}
		return fmt.Sprintf("%s is %s, %s %s", e.Path, v, word, b)
	}
	switch {
	case !finite(e.Value):
		return e.Path + " has no value"
	case e.Min != nil && finite(*e.Min) && e.Value < *e.Min:
		return compare("less than", *e.Min)
	case e.Max != nil && finite(*e.Max) && e.Value > *e.Max:
		return compare("more than", *e.Max)
	}
	return e.Path + " is " + rawNumber(e.Value)
}

func findUse(d *result.Data) (Level, string, bool) {
	g := &d.Summary.GPU
	switch {
	case g.CapacityHours <= 0 && g.Devices <= 0:
		return Info, "The cluster has no GPUs.", true
	case g.CapacityHours <= 0:
		return Info, "No time passed in the run, so no GPU time could be used.", true
	case inService(g) <= 0:
		return Bad, "All GPUs were out of service for the whole run.", true
	case g.UsedHours <= 0:
		return Warn, fmt.Sprintf("No GPU was used: all %s GPU-hours in service were idle.",
			FormatNumber(inService(g))), true
	}
	share := part(g.UsedHours, inService(g), g.IdleHours)
	level := Info
	if share >= 0.8 { // a common target for shared training clusters; it only colours the finding
		level = Good
	}
	but := ""
	if held := partlyHeld(d); held >= partlyMatters {
		level, but = Info, fmt.Sprintf("; but %s of that was held by jobs that had a part of their pods only",
			FormatShare(held))
	}
	return level, fmt.Sprintf("The cluster was %s used: %s of %s GPU-hours in service%s.", FormatShare(share),
		FormatNumber(g.UsedHours), FormatNumber(inService(g)), but), true
}

func findIdle(d *result.Data) (Level, string, bool) {
	g := &d.Summary.GPU
	service, idle := inService(g), clean(g.IdleHours)
	if service <= 0 || g.UsedHours <= 0 && idleWhileWaiting(g) <= 0 {
		return Info, "", false // findUse has said all there is
	}
	if idle <= 0 {
		return Good, "No GPU in service was ever idle.", true
	}
	waiting := idleWhileWaiting(g)
	if waiting <= 0 || onlyServices(d) && ratio(waiting, service) < 0.001 { // moments of the scheduler's
		return Info, fmt.Sprintf("The idle GPU time (%s) was idle only because nothing asked for it.",
			FormatShare(ratio(idle, service))), true
	}
	none := clean(g.IdleNoDemandHours)
	text := oneIn(part(waiting, service, g.UsedHours+none)) + " was idle while jobs waited, " + idleCause(g)
	if none > 0 {
		text += fmt.Sprintf(" Another %s was idle because nothing asked for it.",
			FormatShare(part(none, service, waiting)))
	}
	if g.IdleFragmentedHours > 0 && len(d.Reasons) > 0 && d.Reasons[0].PodHours > 0 && d.Reasons[0].Message != "" {
		text += " The reason given longest to waiting pods, in the scheduler's own words: " + quote(d.Reasons[0].Message, 140)
		if means := plainly(d.Reasons[0].Message); means != "" {
			text = strings.TrimSuffix(text, ".") + ", that is, " + means + "."
		}
	}
	level := Warn
	if ratio(waiting, service) < 0.02 { // below this the scheduler's own delay explains it
		level = Info
	}
	return level, text, true
}

// part is a ÷ whole, but never quite all of it where something else exists that floating point has swallowed.
func part(a, whole, others float64) float64 {
	share := ratio(a, whole)
	if others > 0 {
		return min(share, 0.9999)
	}
	return share
}

// idleCause explains GPU time that was idle though asked for.
func idleCause(g *result.GPU) string {
	const nowhere = "because the scheduler could fit the waiting pods nowhere."
	const between = "because the scheduler had not judged the waiting pods yet."
	frag, wait := clean(g.IdleFragmentedHours), clean(g.IdleWaitingHours)
	switch {
	case wait <= 0:
		return nowhere
	case frag <= 0:
		return between
	case frag >= wait:
		return "mostly (" + FormatShare(part(frag, frag+wait, wait)) + " of it) " + nowhere
	}
	return "mostly (" + FormatShare(part(wait, frag+wait, frag)) + " of it) " + between
}

func findWaits(d *result.Data) (Level, string, bool) {
	j, w := &d.Summary.Jobs, &d.Summary.QueueWait
	switch {
	case onlyServices(d):
		return Info, "", false // nobody expects any
	case j.Submitted <= 0:
		return Info, "No job was submitted.", true
	case w.Count <= 0 && j.Submitted == j.Rejected:
		return Bad, "", false // findRejected says it
	case w.Count <= 0:
		return Bad, "No job was ever placed.", true
	}
	text := waitText(w)
	if n := neverPlaced(j, w); n > 0 {
		text += fmt.Sprintf(" (Without the %s never placed.)", plural(n, "job"))
	}
	return Info, text, true
}

// neverPlaced counts the jobs that queued and have no wait: the pending ones, and those that ended before all of their
// pods had been bound.
func neverPlaced(j *result.Jobs, w *result.Distribution) int64 {
	return max(j.Pending, j.Submitted-j.Rejected-w.Count)
}

// waitText describes a distribution of waits. Percentiles are values of the sample: at least one in a hundred waited
// P99 or longer.
func waitText(w *result.Distribution) string {
	n := FormatCount(float64(w.Count))
	switch {
	case w.Count == 1:
		return "The one job placed waited " + FormatDuration(w.P50) + "."
	case w.Max <= 0:
		return "None of the " + n + " jobs placed had to wait."
	case w.P50 == w.Max:
		return "Of the " + n + " jobs placed, half or more waited " + FormatDuration(w.Max) + ", the longest wait."
	case w.Count < 100:
		return fmt.Sprintf("The median job waited %s, the unluckiest %s (%s jobs placed).", FormatDuration(w.P50),
			FormatDuration(w.Max), n)
	case w.P99 == w.P50:
		return fmt.Sprintf("At least 99 in 100 jobs waited %s or less, the unluckiest %s (%s jobs placed).",
			FormatDuration(w.P99), FormatDuration(w.Max), n)
	}
	return fmt.Sprintf("The median job waited %s, one in a hundred %s or longer, the unluckiest %s (%s jobs placed).",
		FormatDuration(w.P50), FormatDuration(w.P99), FormatDuration(w.Max), n)
}

func findEnd(d *result.Data) (Level, string, bool) {
	s, j := &d.Summary, &d.Summary.Jobs
	if j.Submitted <= 0 {
		return Info, "", false // findWaits has said it
	}
	open := j.Pending + j.Running
	var state []string
	if j.Running > 0 {
		state = append(state, plural(j.Running, "job")+" "+was(j.Running)+" still running")
	}
	if j.Pending > 0 {
		state = append(state, plural(j.Pending, "job")+" had never been placed")
	}
	never := ""
	if j.NeverSchedulable > 0 {
		never = fmt.Sprintf(" %s never can be: more is asked than any node has.", plural(j.NeverSchedulable, "job"))
	}
	after := FormatDuration(s.SimulatedSeconds)
	switch {
	case s.EndReason == "horizon" && open > 0:
		return Warn, fmt.Sprintf("When the time limit of %s ended the run, %s.%s", after,
			strings.Join(state, " and "), never), true
	case s.EndReason == "horizon":
		return Info, "The time limit of " + after + " ended the run; every job had ended by then.", true
	case j.Pending > 0:
		return Warn, fmt.Sprintf("After %s nothing could change any more, but %s.%s", after,
			strings.Join(state, " and "), never), true
	case j.Running > 0:
		return Info, fmt.Sprintf("After %s nothing could change any more; %s, as the trace gives no end.", after,
			strings.Join(state, " and ")), true
	}
	return Info, "", false
}

func findCost(d *result.Data) (Level, string, bool) {
	c, g := &d.Summary.Cost, &d.Summary.GPU
	unpriced := ""
	if c.Unpriced > 0 {
		unpriced = fmt.Sprintf(" %s of a model without a price %s as $0, so the real cost is higher.",
			plural(c.Unpriced, "GPU"), map[bool]string{true: "counts", false: "count"}[c.Unpriced == 1])
	}
	switch {
	case c.TotalUSD <= 0 && c.Unpriced > 0:
		return Warn, "The cost is not known: no price is given for " + plural(c.Unpriced, "GPU") + ".", true
	case c.TotalUSD <= 0:
		return Info, "", false
	case c.UsedUSD+c.IdleUSD+c.DownUSD <= 0:
		return Info, "The run cost " + FormatUSD(c.TotalUSD) + ", none of it for GPUs." + unpriced, true
	case c.IdleUSD <= 0:
		return Info, "The run cost " + FormatUSD(c.TotalUSD) + "; none of it bought idle GPUs." + unpriced, true
	}
	text := fmt.Sprintf("%s of %s (%s) bought idle GPUs", FormatUSD(c.IdleUSD), FormatUSD(c.TotalUSD),
		FormatShare(ratio(c.IdleUSD, c.TotalUSD)))
	if g.UsedHours > 0 {
		text += fmt.Sprintf("; a used GPU-hour cost %s all told", FormatUSD(c.PerGPUUSD))
	}
	level := Info
	if ratio(c.IdleUSD, c.TotalUSD) >= 0.25 {
		level = Warn
	}
	if level == Warn && onlyServices(d) && d.Summary.Machines == nil {
		unpriced = " Nothing in the scenario gives nodes back that nobody uses." + unpriced
	}
	return level, text + "." + unpriced, true
}

func findDown(d *result.Data) (Level, string, bool) {
	g := &d.Summary.GPU
	if g.DownHours <= 0 || g.CapacityHours <= 0 || inService(g) <= 0 {
		return Info, "", false
	}
	why := ""
	if d.Summary.Machines != nil {
		why = "; that counts machines that boot, install drivers or end"
	}
	return Warn, fmt.Sprintf("GPUs were out of service for %s GPU-hours, %s of the capacity%s.",
		FormatNumber(g.DownHours), FormatShare(ratio(g.DownHours, g.CapacityHours)), why), true
}

func findLost(d *result.Data) (Level, string, bool) {
	j, g := &d.Summary.Jobs, &d.Summary.GPU
	if j.Submitted <= 0 || j.Preempted <= 0 && j.Restarts <= 0 && g.LostHours <= 0 {
		return Info, "", false
	}
	text := fmt.Sprintf("%s lost a pod to preemption; pods were restarted %s.", plural(j.Preempted, "job"),
		plural(j.Restarts, "time"))
	if g.LostHours > 0 {
		text += fmt.Sprintf(" That threw away %s GPU-hours of work, %s of the GPU time used.",
			FormatNumber(g.LostHours), FormatShare(ratio(g.LostHours, g.UsedHours)))
	}
	return Warn, text, true
}

func findRejected(d *result.Data) (Level, string, bool) {
	j := &d.Summary.Jobs
	if j.Rejected <= 0 {
		return Info, "", false
	}
	return Bad, fmt.Sprintf("%s of %s submitted %s refused by the Kubernetes API and never queued.",
		FormatCount(float64(j.Rejected)), plural(j.Submitted, "job"), was(j.Rejected)), true
}

func findRepeatable(d *result.Data) (Level, string, bool) {
	if d.Summary.Repeatable {
		return Info, "", false
	}
	return Warn, "This run is not repeatable byte for byte: treat its figures as one sample.", true
}
