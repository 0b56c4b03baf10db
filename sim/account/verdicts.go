package account

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// verdicts accounts for the scheduler's refusals: how often each was given and how long pods waited under it.
type verdicts struct {
	group group[string, *verdict]
	cache map[string]int // message as given → verdict; counts in messages make many of them
}

// verdict is one normalised refusal.
type verdict struct {
	index          int
	message        string
	plugins        []string // sorted
	attempts, pods int64
	podT, gpuT     units.Integral // pods and milli-GPUs × time with this as the latest verdict
}

// cacheMax bounds the cache of verbatim messages; it is emptied when full, which changes no result.
const cacheMax = 1 << 14

func newVerdicts() verdicts {
	return verdicts{group: newGroup[string, *verdict](), cache: map[string]int{}}
}

// add notes a refusal of the pod.
func (v *verdicts) add(p *pod, now units.Time, b journal.Attempt) {
	i, ok := v.cache[b.Message]
	if !ok {
		if len(v.cache) >= cacheMax {
			clear(v.cache)
		}
		i = v.get(Normalise(b.Message)).index
		v.cache[b.Message] = i
	}
	d := v.group.list[i]
	d.attempts++
	for _, name := range b.Plugins {
		if at, found := slices.BinarySearch(d.plugins, name); !found {
			d.plugins = slices.Insert(d.plugins, at, strings.Clone(name))
		}
	}
	if !slices.Contains(p.seen, int32(i)) {
		p.seen = append(p.seen, int32(i))
		d.pods++
	}
	p.verdict, p.since = i, now
}

func (v *verdicts) get(message string) *verdict {
	return v.group.get(message, func(i int) *verdict { return &verdict{index: i, message: message} })
}

// settle books the pod's time under its latest verdict up to now.
func (v *verdicts) settle(p *pod, now units.Time) {
	if p.verdict < 0 {
		return
	}
	d := v.group.list[p.verdict]
	d.podT.Add(1, now.Sub(p.since))
	d.gpuT.Add(int64(p.gpus), now.Sub(p.since))
	p.since = now
}

// table returns the reasons, the one most waited under first.
func (v *verdicts) table() []result.Reason {
	list := slices.Clone(v.group.list)
	slices.SortFunc(list, func(a, b *verdict) int {
		return cmp.Or(b.podT.Cmp(a.podT), cmp.Compare(b.attempts, a.attempts), cmp.Compare(a.message, b.message))
	})
	out := make([]result.Reason, len(list))
	for i, d := range list {
		out[i] = result.Reason{Message: d.message, Plugins: d.plugins, Attempts: d.attempts, Pods: d.pods,
			PodHours: d.podT.Hours(), GPUHours: d.gpuT.GPUHours()}
	}
	return out
}

// Normalise strips a scheduler message of what changes from attempt to attempt: the counts of nodes and what the
// preemption phase added. kube-scheduler writes "0/X nodes are available: N reason, N reason. preemption: …" with the
// reasons sorted as text, numbers first (FitError.Error in pkg/scheduler/framework/types.go, v1.37.2); without the
// numbers they are sorted again. A gang's "pod group is unschedulable, minCount (N) cannot be satisfied: N scheduled, N
// remaining, pod group preemption: …" (schedule_one_podgroup.go, plugin GangScheduling) loses its numbers and its
// beginning, which not every member gets. A message of another form is kept, trimmed.
func Normalise(message string) string {
	const available, nogroup = " nodes are available:", "pod group is unschedulable, "
	m := strings.TrimSpace(message)
	if i := strings.Index(m, " preemption: "); i >= 0 {
		m = strings.TrimSuffix(m[:i], ", pod group")
	}
	for strings.HasPrefix(m, nogroup) { // placements within domains say it twice
		m = m[len(nogroup):]
	}
	m = gangCounts.ReplaceAllString(m, "minCount cannot be satisfied")
	m = placements.ReplaceAllString(m, "no placement is available")
	count, rest, ok := strings.Cut(m, available)
	if before, after, slash := strings.Cut(count, "/"); !ok || !slash || !digits(before) || !digits(after) {
		return m
	}
	rest = strings.TrimSuffix(strings.TrimSpace(rest), ".")
	var reasons []string
	for rest != "" {
		var part string
		part, rest = cutReason(rest)
		if n, text, ok := strings.Cut(part, " "); ok && digits(n) {
			part = text
		}
		reasons = append(reasons, part)
	}
	if len(reasons) == 0 {
		return "no nodes are available"
	}
	slices.Sort(reasons)
	return strings.Join(slices.Compact(reasons), ", ")
}

// cutReason cuts s at the first comma that a count follows; commas inside a reason stay.
func cutReason(s string) (part, rest string) {
	for from := 0; ; {
		i := strings.Index(s[from:], ", ")
		if i < 0 {
			return s, ""
		}
		i += from
		if n, _, ok := strings.Cut(s[i+2:], " "); ok && digits(n) {
			return s[:i], s[i+2:]
		}
		from = i + 2
	}
}

// What the messages of gangs count.
var (
	gangCounts = regexp.MustCompile(`minCount \(\d+\) cannot be satisfied: \d+ scheduled, \d+ remaining`)
	placements = regexp.MustCompile(`\b0/\d+ placements are available`)
)

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
