package reports

import (
	"fmt"
	"slices"

	"orrery/sim/result"
)

func fragmentationPanel() Panel {
	return Panel{"fragmentation", "Why free GPUs were of no use", "What kept the waiting jobs from the free GPUs?",
		buildFragmentation}
}

// cause is how a cause of fragmentation is called and what it means.
type cause struct {
	name, because, meaning, remedy string
	role                           Role
}

var causes = map[string]cause{
	"node_kind": {"wrong kind of node", "they were of a kind that the waiting jobs may not use",
		"GPU model, labels, taints or way of sharing keep the pod away", "wider selectors; another mix of pools",
		RoleNodeKind},
	"gpu_count": {"too few together", "too few were free together on one node",
		"fewer GPUs were free on any one node (or less of one GPU) than a pod asks for",
		"packing (MostAllocated, FGD); smaller pods; defragmentation", RoleGPUCount},
	"mig_geometry": {"MIG layout", "the MIG layout had no free instance of the profile",
		"enough of the GPUs was free, but not as a MIG instance (a fixed part of a GPU) of the size asked for",
		"other partitions; partitioning at need", RoleMIG},
	"cpu": {"no CPU left", "the CPU of their nodes was used up", "GPUs suffice, free CPU does not",
		"smaller CPU requests; nodes with more CPU", RoleCPU},
	"memory": {"no memory left", "the memory of their nodes was used up", "GPUs suffice, free memory does not",
		"smaller memory requests", RoleMemory},
	"pods": {"pod limit", "their nodes took no further pod", "the node has as many pods as it takes",
		"a higher maxPods", RolePodLimit},
	"gang": {"gang", "only a part of the pods fitted that a job needs together",
		"one pod fits, but not all pods of a job that needs them together (a gang)",
		"smaller gangs; packing; preemption", RoleGang},
	"topology": {"topology", "jobs fitted, but not within one part of the network, as they demand",
		"all pods of a gang fit, but not within one part of the network, as the job demands",
		"a coarser domain; packing by domain", RoleTopology},
	"other": {"would fit", "the next attempt was due, or a rule of the scheduler kept the pods away",
		"it would fit: the next attempt was due, or a rule outside these books spoke (affinity, quota, nominations)",
		"see the scheduler's own words",
		RoleOther},
}

func buildFragmentation(d *result.Data) Content {
	f, s := d.Summary.Fragmentation, &d.Fragmentation
	if f == nil || len(s.Causes) == 0 {
		return Content{Headline: "No GPU was free while a refused pod asked for it.",
			Absent: onlyServices(d)}
	}
	// A moment between a replica's creation and the next attempt is no fragmentation worth a panel.
	moments := onlyServices(d) && ratio(f.IdleHours, inService(&d.Summary.GPU)) < 0.001
	list := slices.Clone(s.Causes)
	slices.SortStableFunc(list, func(a, b result.Cause) int { return cmpFloat(b.Hours, a.Hours) })
	total := clean(f.IdleHours)
	t := Table{ID: "causes", Title: "Free GPU time of no use to waiting pods, by cause", Columns: []Column{
		{"cause", "Cause", "", Text}, {"gpu_hours", "GPU time", "GPU-hours", Number}, {"share", "Share", "", Share},
		{"mean_gpus", "GPUs on average", "GPUs", Number}, {"meaning", "What it means", "", Text},
		{"remedy", "What helps", "", Text}}}
	hours := d.Summary.SimulatedSeconds / 3600
	for _, c := range list {
		k := causeOf(c.ID)
		if c.Hours > 0 {
			t.Rows = append(t.Rows, []Cell{T(k.name), N(c.Hours), numIf(total > 0, ratio(c.Hours, total)),
				numIf(hours > 0, ratio(c.Hours, hours)), T(k.meaning), T(k.remedy)})
		}
	}
	c := Content{Headline: fragmentationText(d, list[0], hours), Tables: []Table{t}, Absent: moments}
	if len(s.T) > 0 && total > 0 {
		b := newBins(s.T, s.Bin, len(s.T), pointsMax)
		chart := Chart{ID: "causes-over-time", Title: "Free GPUs of no use to waiting pods", Kind: StackedArea,
			X: Axis{"time since start", b.unit.name}, Y: Axis{"GPUs", "devices"}, Times: b.edges}
		for _, x := range list {
			if x.Hours > 0 {
				k := causeOf(x.ID)
				chart.Series = append(chart.Series, ChartSeries{Name: k.name, Role: k.role, Values: b.mean(x.GPUs)})
			}
		}
		c.Charts = []Chart{chart}
	}
	c.Notes = []string{fmt.Sprintf("The sum is exact: it is “idle: fits nowhere” of the ledger. Its division is a "+
		"classification, made %s, at most once every %s: the free GPUs of a node are divided among the shapes of refused "+
		"pods as their demand is, and each shape counts under the first cause that keeps it from the node, in the order "+
		"kind of node, GPUs or MIG layout, CPU, memory, pod limit, gang, topology.", times(f.Samples),
		FormatDuration(f.BinSeconds)),
		"The books are of GPUs, MIG instances, CPU, memory and pods, as the journal tells them; what the scheduler said " +
			"itself is under “Why pods waited”."}
	return c
}

func causeOf(id string) cause {
	if k, ok := causes[id]; ok {
		return k
	}
	return cause{name: id, because: id, role: RoleOther}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return FormatCount(float64(n)) + " times"
}

// fragmentationText is the panel's answer for people in a hurry.
func fragmentationText(d *result.Data, most result.Cause, hours float64) string {
	f := d.Summary.Fragmentation
	if clean(f.IdleHours) <= 0 || clean(most.Hours) <= 0 || clean(hours) <= 0 {
		return "Hardly any GPU was free while a refused pod asked for it."
	}
	share := ratio(most.Hours, f.IdleHours)
	how := "mostly"
	switch {
	case share == 1:
		how = "always"
	case share < 0.5:
		how = "most often"
	}
	return fmt.Sprintf("On average %s GPUs were free and yet of no use to the jobs that waited, %s (%s) because %s.",
		FormatNumber(ratio(f.IdleHours, hours)), how, FormatShare(share), causeOf(most.ID).because)
}
