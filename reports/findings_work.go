package reports

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/result"
)

// findCauses says what kept waiting pods from free GPUs: the three causes with most hours.
func findCauses(d *result.Data) (Level, string, bool) {
	list := slices.Clone(d.Fragmentation.Causes)
	list = slices.DeleteFunc(list, func(c result.Cause) bool { return clean(c.Hours) <= 0 })
	if len(list) == 0 || d.Summary.Fragmentation == nil ||
		d.Summary.Fragmentation.IdleHours < 0.001*inService(&d.Summary.GPU) { // a moment of the scheduler's, if that
		return Info, "", false
	}
	slices.SortStableFunc(list, func(a, b result.Cause) int { return cmpFloat(b.Hours, a.Hours) })
	var total float64
	for _, c := range list {
		total += c.Hours
	}
	var parts []string
	for _, c := range list[:min(3, len(list))] {
		parts = append(parts, FormatShare(ratio(c.Hours, total))+" of it: "+causeOf(c.ID).meaning)
	}
	return Info, "Why GPUs were free that waiting jobs asked for: " + strings.Join(parts, "; ") + ".", true
}

// possible is the GPU time that the GPUs at work are worth where nothing is lost, in GPU-hours of the kind that jobs
// were described for: an hour of a GPU twice as fast counts as two. It is what losses are a part of.
func possible(s *result.Speed) float64 { return clean(s.WorkingHours) + clean(s.GainedHours) }

// findSpeed says how much of the GPU time at work was lost to less than ideal speed, and to what.
func findSpeed(d *result.Data) (Level, string, bool) {
	s := d.Summary.Speed
	if s == nil || clean(s.WorkingHours) <= 0 {
		return Info, "", false
	}
	lost := clean(s.PlacementHours) + clean(s.SharingHours) + clean(s.HardwareHours)
	if lost <= 0 {
		return Good, "All work went at its ideal speed or faster." + gainedText(s), true
	}
	var parts []string
	only := ""
	for _, p := range []struct {
		hours float64
		what  string
	}{{s.PlacementHours, "because a job's pods stood far apart"},
		{s.SharingHours, "because jobs shared network links or GPUs with others"},
		{s.HardwareHours, "because GPUs were slower than those jobs were described for"}} {
		if clean(p.hours) > 0 {
			parts, only = append(parts, FormatShare(ratio(p.hours, possible(s)))+" "+p.what), p.what
		}
	}
	level := Info
	if ratio(lost, possible(s)) >= 0.1 { // it only colours the finding
		level = Warn
	}
	why := ": " + strings.Join(parts, ", ")
	if len(parts) == 1 {
		why = " " + only
	}
	return level, fmt.Sprintf("%s of what the GPUs at work could do was lost%s.%s", FormatShare(ratio(lost, possible(s))),
		why, gainedText(s)), true
}

// plainly says what the scheduler's words mean, where they are about what most runs wait for.
func plainly(message string) string {
	switch {
	case strings.HasPrefix(message, "no placement is available"):
		return "not all pods of a gang could be placed within one part of the network, as it demands"
	case strings.Contains(message, "minCount cannot be satisfied"):
		return "not all pods of a gang could be placed"
	case strings.HasPrefix(message, "Insufficient ") && strings.Count(message, " ") == 1:
		return "no node had enough of it free"
	}
	return ""
}

// gainedText says what faster GPUs gave, where there were any.
func gainedText(s *result.Speed) string {
	if ratio(s.GainedHours, s.WorkingHours) < 0.01 {
		return ""
	}
	return fmt.Sprintf(" An hour of a GPU at work did what %s hours of the GPUs do that jobs were described for.",
		FormatNumber(ratio(s.EffectiveHours, s.WorkingHours)))
}

// findGangs says what came of gangs, and what partly placed jobs held.
func findGangs(d *result.Data) (Level, string, bool) {
	g, p := d.Summary.Gangs, d.Summary.PartlyPlaced
	var parts []string
	if g != nil && g.NeverPlaced > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s %s not placed", FormatCount(float64(g.NeverPlaced)),
			plural(g.Jobs, "gang"), was(g.NeverPlaced)))
	}
	if partlyHeld(d) >= partlyMatters {
		parts = append(parts, fmt.Sprintf("jobs that had a part of their pods only held %s GPU-hours, of no use where pods "+
			"need each other", FormatNumber(p.GPUHours)))
	}
	switch {
	case len(parts) > 0:
		text := strings.Join(parts, "; ")
		return Warn, strings.ToUpper(text[:1]) + text[1:] + ".", true
	case g != nil && g.Jobs > 0:
		return Good, fmt.Sprintf("Every gang was placed (%s whose pods are placed all together or not at all).",
			plural(g.Jobs, "job")), true
	}
	return Info, "", false
}

// partlyMatters is the least part of the used GPU time that is worth a word; it only chooses what is said.
const partlyMatters = 0.01

// partlyHeld is the part of the used GPU time that jobs held while they had a part of their pods only. Binding the
// pods of a job one after the other takes milliseconds, so it is hardly ever nothing.
func partlyHeld(d *result.Data) float64 {
	if d.Summary.PartlyPlaced == nil {
		return 0
	}
	return ratio(d.Summary.PartlyPlaced.GPUHours, d.Summary.GPU.UsedHours)
}
