package account

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// TestScripts runs the scripts of testdata: records in, ledger out. A line is an instant, a kind and fields by their
// names in the file, with spans as durations, GPUs in thousandths and slots as 0,1 or 0/2:333 (replica, share) or
// 0/1g.10gb@3+1:142 (MIG profile, first slice, slices, share), with a replica as 0/1g.10gb@3+1/2:47:
//
//	1m pod.assign pod=default/a node=n0 slots=0,1
//
// Commands: fold (end=SPAN past the last record), explain (pod=NAME, over the records of the last fold), normalise.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var last []journal.Record
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "fold":
				recs, err := parseScript(d.Input)
				if err != nil {
					return err.Error() + "\n"
				}
				last = recs
				var end time.Duration
				if d.HasArg("end") {
					d.ScanArgs(t, "end", &end)
				}
				return foldScript(recs, end)
			case "explain":
				var pod string
				d.ScanArgs(t, "pod", &pod)
				return explainScript(t, last, pod)
			case "normalise":
				return Normalise(strings.TrimSpace(d.Input)) + "\n"
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// parseScript turns lines into records, through the journal's own decoder.
func parseScript(input string) ([]journal.Record, error) {
	var text strings.Builder
	text.WriteString(`{"t":0,"k":"run","format":1,"scenario":"script","seed":1,"epoch":""}` + "\n")
	var at time.Duration
	for line := range strings.Lines(input) {
		words := splitWords(strings.TrimSpace(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var err error
		if at, err = time.ParseDuration(words[0]); err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, `{"t":%d,"k":%q`, int64(at), words[1])
		for _, w := range words[2:] {
			key, value, _ := strings.Cut(w, "=")
			fmt.Fprintf(&text, `,%q:%s`, key, jsonValue(key, value))
		}
		text.WriteString("}\n")
	}
	fmt.Fprintf(&text, `{"t":%d,"k":"end","reason":"drained"}`+"\n", int64(at))
	r, err := journal.NewReader(strings.NewReader(text.String()))
	if err != nil {
		return nil, err
	}
	var recs []journal.Record
	err = journal.Each(r, func(rec journal.Record) error { recs = append(recs, rec); return nil })
	return recs, err
}

// splitWords splits at spaces outside quotes.
func splitWords(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func jsonValue(key, value string) string {
	switch {
	case strings.HasSuffix(key, "_ns"):
		if d, err := time.ParseDuration(value); err == nil {
			return strconv.FormatInt(int64(d), 10)
		}
	case key == "slots" && !strings.HasPrefix(value, "n"):
		var parts []string
		for s := range strings.SplitSeq(value, ",") {
			place, share, ok := strings.Cut(s, ":")
			if !ok {
				share = "1000"
			}
			gpu, replica, _ := strings.Cut(place, "/")
			part := `{"gpu":` + gpu
			if profile, rest, ok := strings.Cut(replica, "@"); ok {
				rest, replica, _ = strings.Cut(rest, "/")
				start, slices, _ := strings.Cut(rest, "+")
				part += `,"profile":"` + profile + `","start":` + start + `,"slices":` + slices
			}
			if replica != "" {
				part += `,"replica":` + replica
			}
			parts = append(parts, part+`,"milli":`+share+`}`)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case key == "slots":
		return value[1:] // pod.create: a number of slots, written n4
	case key == "spans":
		return "[" + value + "]"
	case key == "plugins" || key == "layers" || key == "domains" || key == "pools":
		b, _ := json.Marshal(strings.Split(value, ","))
		return string(b)
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil && key != "pod" && key != "job" {
		return value
	}
	return strconv.Quote(strings.Trim(value, `"`))
}

func foldScript(recs []journal.Record, end time.Duration) string {
	var rows strings.Builder
	f := New(Options{
		OnJob: func(r result.JobRow) error {
			speed := ""
			if r.Speed != nil {
				speed = fmt.Sprintf(" speed=%.6g layer=%s spans=%s", *r.Speed, r.Layer, r.Spans)
			}
			fmt.Fprintf(&rows, "job  %s %s wait=%gs gpu=%gs lost=%gs%s%s\n", r.Job, r.State, r.WaitSeconds, r.GPUSeconds,
				r.LostGPUSeconds, speed, because(r.Reason))
			return nil
		},
		OnPod: func(r result.PodRow) error {
			fmt.Fprintf(&rows, "pod  %s %s node=%s slots=%s attempts=%d\n", r.Pod, r.Phase, r.Node, r.Slots, r.Attempts)
			return nil
		},
	})
	for _, r := range recs {
		f.Append(r.At, r.Body)
	}
	d, err := f.Finish(f.now + units.Time(end))
	if err != nil {
		return err.Error() + "\n"
	}
	return rows.String() + ledgerText(d)
}

func ledgerText(d *result.Data) string {
	var b bytes.Buffer
	g, j := d.Summary.GPU, d.Summary.Jobs
	fmt.Fprintf(&b, "gpu  capacity=%gh used=%gh down=%gh idle=%gh: no-demand=%gh fragmented=%gh waiting=%gh; "+
		"lost=%gh\n",
		g.CapacityHours, g.UsedHours, g.DownHours, g.IdleHours, g.IdleNoDemandHours, g.IdleFragmentedHours,
		g.IdleWaitingHours, g.LostHours)
	fmt.Fprintf(&b, "jobs submitted=%d completed=%d failed=%d killed=%d running=%d pending=%d rejected=%d; "+
		"preempted=%d restarts=%d never-schedulable=%d\n", j.Submitted, j.Completed, j.Failed, j.Killed, j.Running,
		j.Pending, j.Rejected, j.Preempted, j.Restarts, j.NeverSchedulable)
	for _, s := range []struct {
		name string
		d    result.Distribution
	}{{"wait", d.Summary.QueueWait}, {"startup", d.Summary.Startup}, {"completion", d.Summary.JobCompletion},
		{"slowdown", d.Summary.Slowdown}} {
		if s.d.Count > 0 {
			fmt.Fprintf(&b, "%s n=%d mean=%g p50=%g max=%g\n", s.name, s.d.Count, s.d.Mean, s.d.P50, s.d.Max)
		}
	}
	for _, r := range d.Reasons {
		fmt.Fprintf(&b, "why  %q attempts=%d pods=%d pod-hours=%g gpu-hours=%g plugins=%v\n", r.Message, r.Attempts,
			r.Pods, r.PodHours, r.GPUHours, r.Plugins)
	}
	for _, t := range d.Tenants {
		fmt.Fprintf(&b, "tenant %q jobs=%d completed=%d pending=%d gpu-hours=%g by=%v\n", t.Name, t.Jobs, t.Completed,
			t.Pending, t.GPUHours, t.ByPool)
	}
	for _, p := range d.Pools {
		fmt.Fprintf(&b, "pool %s nodes=%d gpus=%d capacity=%gh used=%gh idle=%gh down=%gh nodes=%gh\n", p.Name, p.Nodes,
			p.GPUs, p.CapacityHours, p.UsedHours, p.IdleHours, p.DownHours, p.NodeHours)
	}
	sectionsText(&b, d)
	for _, w := range d.Summary.Warnings {
		fmt.Fprintf(&b, "warn %s %q ×%d\n", w.Code, w.Message, w.Count)
	}
	return b.String()
}

// sectionsText writes what is there of the sections that most runs lack.
func sectionsText(b *bytes.Buffer, d *result.Data) {
	s := &d.Summary
	if m := s.MIG; m != nil {
		fmt.Fprintf(b, "mig  offered=%gh used=%gh stranded=%gh\n", m.OfferedHours, m.UsedHours, m.StrandedHours)
		for _, p := range m.Profiles {
			fmt.Fprintf(b, "mig  %s peak=%d assigned=%d offered=%gh used=%gh slices: offered=%gh used=%gh\n", p.Profile,
				p.InstancesPeak, p.Assigned, p.OfferedHours, p.UsedHours, p.OfferedSliceHours, p.UsedSliceHours)
		}
	}
	for _, c := range d.Fragmentation.Causes {
		if c.Hours > 0 {
			fmt.Fprintf(b, "frag %s %gh of %gh\n", c.ID, c.Hours, s.Fragmentation.IdleHours)
		}
	}
	if g := s.Gangs; g != nil {
		fmt.Fprintf(b, "gang jobs=%d placed=%d never=%d wait=%g\n", g.Jobs, g.Placed, g.NeverPlaced, g.Wait.Mean)
	}
	if p := s.PartlyPlaced; p != nil {
		fmt.Fprintf(b, "part jobs=%d n=%d mean=%gs held=%gh\n", p.Jobs, p.Seconds.Count, p.Seconds.Mean, p.GPUHours)
	}
	if l := s.Locality; l != nil {
		for _, name := range l.LayerNames {
			w := l.Layers[name]
			fmt.Fprintf(b, "near %s %d of %d jobs, %gh of %gh, domains=%g\n", name, w.WithinJobs, l.Jobs, w.WithinGPUHours,
				l.GPUHours, w.DomainsMean)
		}
	}
	for _, l := range d.Layers {
		for _, o := range l.Domains {
			fmt.Fprintf(b, "dom  %s %s nodes=%d gpus=%d used=%gh of %gh heat=%v\n", l.Name, o.Name, o.Nodes, o.GPUs,
				o.UsedHours, o.CapHours, o.Heat[:min(3, len(o.Heat))])
		}
	}
	if p := s.Speed; p != nil {
		fmt.Fprintf(b, "pace jobs=%d slowdown=%.6g working=%gh effective=%gh hardware=-%g+%gh placement=%gh sharing=%gh\n",
			p.Jobs, p.Slowdown.Mean, p.WorkingHours, p.EffectiveHours, p.HardwareHours, p.GainedHours, p.PlacementHours,
			p.SharingHours)
	}
}

func explainScript(t *testing.T, recs []journal.Record, pod string) string {
	var buf bytes.Buffer
	w := journal.NewWriter(&buf)
	for _, r := range recs {
		w.Append(r.At, r.Body)
	}
	if _, _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.NewReader(&buf)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Explain(r, pod)
	if err != nil {
		return err.Error() + "\n"
	}
	var out bytes.Buffer
	if err := e.Text(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
