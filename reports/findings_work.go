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
	if len(list) == 0 || d.Summary.Fragmentation == nil {
		return Info, "", false
	}
	slices.SortStableFunc(list, func(a, b result.Cause) int { return cmpFloat(b.Hours, a.Hours) })
	var total float64
	for _, c := range list {
		total += c.Hours
	}
	var parts []string
	for _, c := range list[:min(3, len(list))] {
		parts = append(parts, fmt.Sprintf("%s: %s", FormatShare(ratio(c.Hours, total)), causeOf(c.ID).meaning))
	}
	return Info, "What kept waiting pods from free GPUs: " + strings.Join(parts, "; ") + ".", true
}

// findSpeed says how much of the GPU time at work was lost to less than ideal speed, and to what.
func findSpeed(d *result.Data) (Level, string, bool) {
	s := d.Summary.Speed
	if s == nil || clean(s.WorkingHours) <= 0 {
		return Info, "", false
	}
	lost := clean(s.PlacementHours) + clean(s.SharingHours) + clean(s.HardwareHours)
	if lost <= 0 {
		return Good, "All work went at its ideal speed or faster.", true
	}
	var parts []string
	for _, p := range []struct {
		hours float64
		what  string
	}{{s.PlacementHours, "to where pods stand"}, {s.SharingHours, "to neighbours"}, {s.HardwareHours, "to slower GPUs"}} {
		if clean(p.hours) > 0 {
			parts = append(parts, FormatShare(ratio(p.hours, s.WorkingHours))+" "+p.what)
		}
	}
	level := Info
	if ratio(lost, s.WorkingHours) >= 0.1 { // it only colours the finding
		level = Warn
	}
	return level, fmt.Sprintf("Work lost %s of its GPU time to less than ideal speed: %s.",
		FormatShare(ratio(lost, s.WorkingHours)), strings.Join(parts, ", ")), true
}

// findGangs says what came of gangs, and what partly placed jobs held.
func findGangs(d *result.Data) (Level, string, bool) {
	g, p := d.Summary.Gangs, d.Summary.PartlyPlaced
	var parts []string
	if g != nil && g.NeverPlaced > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s %s not placed", FormatCount(float64(g.NeverPlaced)),
			plural(g.Jobs, "gang"), was(g.NeverPlaced)))
	}
	if p != nil && clean(p.GPUHours) > 0 {
		parts = append(parts, fmt.Sprintf("jobs that were placed for a part only held %s GPU-hours meanwhile",
			FormatNumber(p.GPUHours)))
	}
	switch {
	case len(parts) > 0:
		text := strings.Join(parts, "; ")
		return Warn, strings.ToUpper(text[:1]) + text[1:] + ".", true
	case g != nil && g.Jobs > 0:
		return Good, "Every gang was placed, and no job held GPUs for a part of its pods only.", true
	}
	return Info, "", false
}
