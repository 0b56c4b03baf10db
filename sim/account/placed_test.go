package account

import (
	"testing"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// TestRowOfPlacedJob: a job that waited and was then placed keeps the refusal it waited under and not a later one, and
// the priority that its pods got from their PriorityClass.
func TestRowOfPlacedJob(t *testing.T) {
	var row result.JobRow
	f := New(Options{OnJob: func(r result.JobRow) error { row = r; return nil }})
	for i, b := range []journal.Body{
		journal.Run{Format: journal.FormatVersion},
		journal.Pool{Pool: "p", GPUsPerNode: 1, SlotsPerGPU: 1},
		journal.Node{Node: "n", Pool: "p", State: journal.NodeUp, GPUs: 1},
		journal.JobSubmit{Job: "j", Pods: 1},
		journal.PodCreate{Pod: "a", Job: "j", Priority: 7},
		journal.Attempt{Pod: "a", N: 1, Result: journal.Unschedulable, Message: "first"},
		journal.Attempt{Pod: "a", N: 2, Result: journal.Unschedulable, Message: "last"},
		journal.PodBind{Pod: "a", Node: "n"},
		journal.JobPlaced{Job: "j"},
		journal.PodEnd{Pod: "a", Phase: "Failed"},
		journal.PodCreate{Pod: "b", Job: "j", Priority: 7},
		journal.Attempt{Pod: "b", N: 1, Result: journal.Unschedulable, Message: "after it was placed"},
		journal.JobEnd{Job: "j", Outcome: journal.Killed},
		journal.PodDelete{Pod: "b"},
		journal.End{Reason: journal.EndDrained},
	} {
		f.Append(units.Time(i), b)
	}
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	if row.Reason != "last" || row.Priority != 7 {
		t.Errorf("the row has the verdict %q and the priority %d, want %q and 7", row.Reason, row.Priority, "last")
	}
}
