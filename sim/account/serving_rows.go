package account

import (
	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// lives are the rows of replicas and machines, in the order in which they begin.
type lives struct {
	replicas []result.ReplicaRow
	machines []result.MachineRow
	machine  map[string]int // row of the latest machine of a name
}

// replicaRow takes the new state of a replica.
func (f *Fold) replicaRow(b *journal.Replica, r *replica, fresh bool) {
	l := &f.services.lives
	if fresh {
		r.row = len(l.replicas)
		l.replicas = append(l.replicas, result.ReplicaRow{Service: b.Service, Group: b.Group, Replica: b.Replica,
			GPUs: r.group.GPUs.GPUs(), CreatedSeconds: f.now.Seconds()})
	}
	row := &l.replicas[r.row]
	f.located(row)
	if b.Reason != "" {
		row.Reason = b.Reason
	}
	switch {
	case b.State == journal.ReplicaReady && row.ReadySeconds == nil: // it is told again when its speed changes
		row.ReadySeconds = instant(f.now)
	case b.State == journal.ReplicaDraining && row.DrainSeconds == nil:
		row.DrainSeconds = instant(f.now)
	case b.State == journal.ReplicaGone:
		row.GoneSeconds = instant(f.now)
	}
}

// located says where and since when a replica's first pod is bound.
func (f *Fold) located(row *result.ReplicaRow) {
	p := f.pods[row.Replica]
	if p == nil || row.BoundSeconds != nil {
		return
	}
	row.CreatedSeconds = p.created.Seconds()
	if p.bound != never && p.node != nil {
		row.Node, row.BoundSeconds = p.node.name, instant(p.bound)
	}
}

// stageRow takes the end of a stage of a replica's first pod.
func (f *Fold) stageRow(b *journal.PodStage) {
	r := f.services.replicas[b.Pod]
	if r == nil {
		return
	}
	row := &f.services.lives.replicas[r.row]
	f.located(row)
	took := b.Took.Seconds()
	switch b.Stage {
	case journal.StageSandbox:
		row.Sandbox = &took
	case journal.StageImage:
		row.Image = &took
	case journal.StageWeights:
		row.Weights = &took
	case journal.StageEngine:
		row.Engine = &took
	case journal.StageSnapshot:
		row.Snapshot = &took
	case journal.StageJoin:
		row.Join = &took
	}
}

// machineRow takes the new state of a machine. A name is free again once its machine is gone or was not to be had.
func (l *lives) machineRow(now units.Time, b *journal.Machine) {
	i, known := l.machine[b.Node]
	if !known || b.State == journal.MachineOrdered {
		if l.machine == nil {
			l.machine = map[string]int{}
		}
		i = len(l.machines)
		l.machine[b.Node] = i
		l.machines = append(l.machines, result.MachineRow{Node: b.Node, Pool: b.Pool, By: b.By})
	}
	row := &l.machines[i]
	if b.Reason != "" && b.State != journal.MachineOrdered {
		row.Reason = b.Reason
	}
	switch b.State {
	case journal.MachineOrdered:
		row.OrderedSeconds = instant(now)
	case journal.MachineFailed:
		row.FailedSeconds = instant(now)
	case journal.MachineLaunched:
		row.LaunchedSeconds = instant(now)
	case journal.MachineRegistered:
		row.RegisteredSeconds = instant(now)
	case journal.MachineReady:
		row.ReadySeconds = instant(now)
	case journal.MachineInterrupted:
		row.InterruptedSeconds = instant(now)
	case journal.MachineTerminating:
		row.TerminatingSeconds = instant(now)
	case journal.MachineGone:
		row.GoneSeconds = instant(now)
	}
	if b.State == journal.MachineGone || b.State == journal.MachineFailed {
		delete(l.machine, b.Node)
	}
}

// rows are those of replicas and machines at the end of the run.
func (f *Fold) rows(d *result.Data) {
	l := &f.services.lives
	for i := range l.replicas {
		if row := &l.replicas[i]; row.GoneSeconds == nil { // a later pod may have the name of one that is gone
			f.located(row)
		}
	}
	for i := range l.machines {
		m := &l.machines[i]
		if m.LaunchedSeconds == nil {
			continue
		}
		end := f.now.Seconds()
		if m.GoneSeconds != nil {
			end = *m.GoneSeconds
		}
		m.PaidHours = (end - *m.LaunchedSeconds) / 3600
	}
	d.Replicas, d.Machines = l.replicas, l.machines
}
