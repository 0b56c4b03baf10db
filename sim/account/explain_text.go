package account

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// Text writes the explanation for people: one line an event, in the order of time, the scheduler's words verbatim.
func (e *Explanation) Text(out io.Writer) error {
	w := &writeErr{w: out}
	for _, o := range e.Objects {
		w.printf("%s", o.Object)
		if o.About != "" {
			w.printf(": %s", o.About)
		}
		w.printf("\n")
		writeEvents(w, events(o.Events))
	}
	for i, j := range e.Jobs {
		if i > 0 {
			w.printf("\n")
		}
		w.printf("job %s", j.Job)
		if j.Tenant != "" {
			w.printf(" of %s", j.Tenant)
		}
		w.printf(": %s, %s%s\n", count(j.Pods, "pod"), gpus(j.GPUs), j.together())
		writeEvents(w, j.events())
	}
	for i := range e.Pods {
		p := &e.Pods[i]
		if i > 0 || len(e.Jobs) > 0 {
			w.printf("\n")
		}
		w.printf("pod %s", p.Pod)
		if p.Job != "" {
			w.printf(" of job %s", p.Job)
		}
		w.printf(": %s, %d milli-CPU, %d MiB, priority %d\n", gpus(p.Asks.GPUs), p.Asks.CPUMilli, p.Asks.MemoryMiB,
			p.Asks.Priority)
		writeEvents(w, p.events())
	}
	return w.err
}

// event is one line of a story.
type event struct {
	at   units.Time
	what string
}

// events are the lines of what happened.
func events(list []EventStory) []event {
	var out []event
	for _, x := range list {
		out = append(out, event{x.At, x.Text})
	}
	return out
}

func writeEvents(w *writeErr, events []event) {
	slices.SortStableFunc(events, func(a, b event) int { return int(min(1, max(-1, a.at-b.at))) })
	for _, ev := range events {
		w.printf("  %12s  %s\n", clock(ev.at), ev.what)
	}
}

func (j *JobStory) events() []event {
	out := []event{{j.Submitted, "submitted"}}
	add := func(at *units.Time, format string, args ...any) {
		if at != nil {
			out = append(out, event{*at, fmt.Sprintf(format, args...)})
		}
	}
	if j.Placed != nil {
		add(j.Placed, "all pods bound, %s after submission", span(j.Placed.Sub(j.Submitted)))
	}
	add(j.Started, "all pods running")
	for _, r := range j.Restarts {
		text := fmt.Sprintf("lost pod %s (%s), %s of progress thrown away", r.Pod, r.Reason, span(r.Lost))
		if r.New != "" {
			text += ", replaced by " + r.New
		}
		out = append(out, event{r.At, text})
	}
	for i, s := range j.Speeds {
		if i == speedsMax {
			out = append(out, event{s.At, fmt.Sprintf("… %d further changes of speed", len(j.Speeds)-i)})
			break
		}
		out = append(out, event{s.At, s.text()})
	}
	add(j.Ended, "%s%s", j.Outcome, because(j.Reason))
	return out
}

// speedsMax is how many changes of a job's speed are told one by one: on busy links there are thousands.
const speedsMax = 20

// together says what had to be placed together.
func (j *JobStory) together() string {
	switch {
	case j.Gang == 0:
		return ""
	case j.Within == "":
		return fmt.Sprintf("; a gang of %d", j.Gang)
	}
	return fmt.Sprintf("; a gang of %d within one %s", j.Gang, j.Within)
}

// text tells a speed by its factors, and where the pods stand.
func (s *SpeedStory) text() string {
	part := func(ppm int64) string { return strconv.FormatFloat(float64(ppm)/ideal, 'g', 3, 64) }
	who := ""
	if s.Pod != "" {
		who = "pod " + s.Pod + " "
	}
	text := fmt.Sprintf("%sworks at %s of its ideal speed: hardware %s × placement %s × sharing %s", who, part(s.Speed),
		part(s.Hardware), part(s.Placement), part(s.Sharing))
	switch {
	case s.Layer != "":
		text += "; within one domain of layer " + s.Layer
	case len(s.Spans) > 0:
		text += "; no domain holds it"
	}
	var parts []string
	for i, n := range s.Spans {
		if i < len(s.Layers) {
			parts = append(parts, fmt.Sprintf("%s %d", s.Layers[i], n))
		}
	}
	if len(parts) > 0 {
		text += " (domains: " + strings.Join(parts, ", ") + ")"
	}
	return text
}

func (p *PodStory) events() []event {
	out := []event{{p.Created, "created, waits for the scheduler"}}
	at := func(at *units.Time, format string, args ...any) {
		if at != nil {
			out = append(out, event{*at, fmt.Sprintf(format, args...)})
		}
	}
	// Before the attempts: what frees a place at an instant comes before the attempt that takes it.
	for _, f := range p.FreedBy {
		out = append(out, event{f.At, f.text(p.Node)})
	}
	for _, a := range p.Attempts {
		out = append(out, event{a.First, a.text()})
	}
	for _, v := range p.Preempts {
		out = append(out, event{v.At, fmt.Sprintf("chooses pod %s on node %s as a victim", v.Victim, v.Node)})
	}
	if p.Bound != nil {
		at(p.Bound, "bound to node %s, %s after creation", p.Node, span(p.Bound.Sub(p.Created)))
		if list := slots(p.Slots); list != "" {
			at(p.Bound, "owns GPU %s", list)
		}
	}
	at(p.Started, "containers run")
	for _, s := range p.Stages {
		out = append(out, event{s.At, s.text()})
	}
	out = append(out, events(p.Replica)...)
	for _, v := range p.Evicted {
		out = append(out, event{v.At, "chosen as a victim by pod " + v.By})
	}
	if s := p.Stopping; s != nil {
		out = append(out, event{s.At, fmt.Sprintf("deletion begins (%s), grace %s", s.Reason, span(s.Grace))})
	}
	at(p.Ended, "containers stopped: %s%s", p.Phase, because(p.Reason))
	at(p.Released, "devices released")
	at(p.Deleted, "deleted")
	if p.Bound == nil && p.Deleted == nil && p.Ended == nil {
		waited := span(p.Until.Sub(p.Created))
		out = append(out, event{p.Until, "the run ends; still waiting after " + waited})
	}
	return out
}

// text tells a run of equal attempts.
func (a *AttemptRun) text() string {
	times := ""
	if a.Count > 1 {
		times = fmt.Sprintf(", %d times until %s", a.Count, clock(a.Last))
	}
	var b strings.Builder
	if a.Result == journal.Scheduled {
		fmt.Fprintf(&b, "scheduled to node %s (%d feasible of %d looked at)%s", a.Node, a.Feasible, a.Evaluated, times)
	} else {
		fmt.Fprintf(&b, "%s%s: %s", a.Result, times, a.Message)
	}
	if len(a.Plugins) > 0 {
		fmt.Fprintf(&b, " [%s]", strings.Join(a.Plugins, ", "))
	}
	if a.Nominated != "" {
		fmt.Fprintf(&b, "; nominated to node %s", a.Nominated)
	}
	return b.String()
}

func (f *FreedStory) text(node string) string {
	if f.Pod == "" {
		return fmt.Sprintf("node %s comes up with %s", node, gpus(f.GPUs))
	}
	text := fmt.Sprintf("pod %s releases %s on node %s", f.Pod, gpus(f.GPUs), node)
	if f.Job != "" {
		text += " (job " + f.Job + ")"
	}
	return text
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// slots lists slots: GPU numbers, with the replica where a GPU is shared, and the MIG instance where it is divided.
func slots(list []journal.Slot) string {
	var parts []string
	for _, s := range list {
		part := fmt.Sprint(s.Index)
		if s.Profile != "" {
			part += fmt.Sprintf(":%s@%d", s.Profile, s.Start)
		}
		if s.Share < units.GPU && (s.Profile == "" || s.Replica > 0) {
			part += fmt.Sprintf("/%d", s.Replica)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func gpus(m units.MilliGPU) string {
	if m == units.GPU {
		return "1 GPU"
	}
	return fmt.Sprintf("%g GPUs", m.GPUs())
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clock writes an instant as hours:minutes:seconds since time zero.
func clock(t units.Time) string {
	d := units.Duration(t)
	s := d % time.Minute
	return fmt.Sprintf("%d:%02d:%02d.%03d", int64(d/time.Hour), int64(d/time.Minute)%60, int64(s/time.Second),
		int64(s%time.Second/time.Millisecond))
}

// span writes a duration with no more digits than people read.
func span(d units.Duration) string {
	switch {
	case d >= time.Hour:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.String()
}
