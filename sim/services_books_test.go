package sim_test

import (
	"math"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// paper is what a run's records say of its services, added up in floating point and in the simplest way: it shares no
// code with the account.
type paper struct {
	owned    map[string]float64 // GPU-hours by service, from assignment to release
	ready    map[string]float64 // GPU-hours by service, ready or draining
	busy     map[string]float64
	tokens   map[string]int64 // of completed requests, in and out
	ups      map[string]int64
	machines float64 // machine-hours, from launch to end
	end      units.Time
}

func readBooks(records []journal.Record) paper {
	b := paper{owned: map[string]float64{}, ready: map[string]float64{}, busy: map[string]float64{},
		tokens: map[string]int64{}, ups: map[string]int64{}, end: records[len(records)-1].At}
	type span struct {
		service string
		gpus    float64
		since   units.Time
	}
	service, groups := map[string]string{}, map[string]float64{}
	object, list := map[string]string{}, map[string][]journal.ServiceGroup{}
	devices, serving, paid := map[string]span{}, map[string]span{}, map[string]units.Time{}
	hours := func(from, to units.Time) float64 { return to.Sub(from).Hours() }
	for _, r := range records {
		switch x := r.Body.(type) {
		case journal.Service:
			list[x.Service] = x.Groups
			for _, g := range x.Groups {
				groups[g.Group] = float64(g.GPUs) / 1000
				object[g.Kind+"/"+g.Group] = x.Service
			}
		case journal.PodCreate:
			service[x.Pod] = x.Service
		case journal.PodAssign:
			s := span{service: service[x.Pod], since: r.At}
			for _, slot := range x.Slots {
				s.gpus += float64(slot.Share) / 1000
			}
			devices[x.Pod] = s
		case journal.PodRelease:
			if s, ok := devices[x.Pod]; ok {
				b.owned[s.service] += s.gpus * hours(s.since, r.At)
				delete(devices, x.Pod)
			}
		case journal.Replica:
			s, on := serving[x.Replica]
			if now := x.State == journal.ReplicaReady || x.State == journal.ReplicaDraining; now && !on {
				serving[x.Replica] = span{x.Service, groups[x.Group], r.At}
			} else if !now && on {
				b.ready[s.service] += s.gpus * hours(s.since, r.At)
				delete(serving, x.Replica)
			}
		case journal.Requests:
			b.tokens[x.Service] += x.Input + x.Output
			if g := list[x.Service]; len(g) == 1 {
				b.busy[x.Service] += float64(g[0].GPUs) / 1000 * x.Busy.Hours()
			} else {
				for i, d := range x.GroupBusy {
					b.busy[x.Service] += float64(g[i].GPUs) / 1000 * d.Hours()
				}
			}
		case journal.Scale:
			if x.To > x.From && object[x.Object] != "" {
				b.ups[object[x.Object]]++
			}
		case journal.Machine:
			switch x.State {
			case journal.MachineLaunched:
				paid[x.Node] = r.At
			case journal.MachineGone:
				if since, ok := paid[x.Node]; ok {
					b.machines += hours(since, r.At)
					delete(paid, x.Node)
				}
			}
		}
	}
	for _, s := range devices {
		b.owned[s.service] += s.gpus * hours(s.since, b.end)
	}
	for _, s := range serving {
		b.ready[s.service] += s.gpus * hours(s.since, b.end)
	}
	for _, since := range paid {
		b.machines += hours(since, b.end)
	}
	return b
}

// checkBooks compares the account of a run's services with its records, and its tables with its summary.
func checkBooks(t *testing.T, seed uint64, p played) {
	t.Helper()
	b, d := readBooks(p.records), p.data
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("seed %d: %s is %v, the records say %v", seed, what, got, want)
		}
	}
	byRows, counts := map[string]float64{}, map[string]int64{}
	for _, r := range d.Replicas {
		if r.ReadySeconds == nil {
			continue
		}
		counts[r.Service]++
		end := b.end.Seconds()
		if r.GoneSeconds != nil {
			end = *r.GoneSeconds
		}
		byRows[r.Service] += r.GPUs * (end - *r.ReadySeconds) / 3600
	}
	ready := int64(0)
	for i, name := range d.Summary.Serving.ServiceNames {
		s := d.Summary.Serving.Services[name]
		near(name+": GPU-hours", s.GPUHours, b.owned[name])
		near(name+": ready GPU-hours", s.ReadyHours, b.ready[name])
		near(name+": ready GPU-hours of its replicas' rows", s.ReadyHours, byRows[name])
		near(name+": busy GPU-hours", s.BusyHours, math.Min(b.busy[name], math.Min(s.ReadyHours, s.GPUHours)))
		near(name+": tokens", float64(s.InputTokens+s.OutputTokens), float64(b.tokens[name]))
		near(name+": scale-ups", float64(s.ScaleUps), float64(b.ups[name]))
		checkBins(t, seed, name, &s, &d.Services[i].Series, b.end.Seconds())
		ready += counts[name]
	}
	if d.Summary.Starts != nil {
		near("replicas that became ready", float64(d.Summary.Starts.Pods), float64(ready))
	}
	paid, ordered := 0.0, 0.0
	for _, m := range d.Machines {
		if paid += m.PaidHours; m.OrderedSeconds != nil {
			ordered++
		}
	}
	if m := d.Summary.Machines; m != nil {
		near("machine-hours", m.Hours, b.machines)
		near("machine-hours of the rows", paid, b.machines)
		near("machines ordered", ordered, float64(m.Ordered))
	}
}

// checkBins holds that a service's bins add up to its totals.
func checkBins(t *testing.T, seed uint64, name string, s *result.Service, r *result.ServiceSeries, end float64) {
	t.Helper()
	var arrived, good, ready float64
	for i, from := range r.T {
		span := math.Min(r.Bin, end-from)
		arrived, good, ready = arrived+r.Arrived[i]*span, good+r.Good[i]*span, ready+r.Ready[i]*span
	}
	for what, x := range map[string][2]float64{"arrived": {arrived, float64(s.Requests.Arrived)},
		"good": {good, float64(s.Requests.Good)}, "replica-seconds": {ready, s.ReplicasMean * end}} {
		if math.Abs(x[0]-x[1]) > 1e-6*math.Max(1, x[1]) {
			t.Errorf("seed %d: %s: its bins add up to %v %s, not %v", seed, name, x[0], what, x[1])
		}
	}
}
