package openb

import (
	"orrery/traces"
	"orrery/traces/formats/table"
)

// Node is a node of a node list.
type Node struct {
	Name      string
	CPUMilli  int64
	MemoryMiB int64
	GPUs      int
	Model     string // GPU model; "" when GPUs = 0
}

// ReadNodes reads a node list (columns sn, cpu_milli, memory_mib, gpu, model), compressed or not, in the file's order.
// The error is an *traces.Errors with every problem.
func ReadNodes(path string) ([]Node, error) {
	var nodes []Node
	err := traces.ReadPlain(path, func(in traces.Input) error {
		var err error
		nodes, err = readNodes(in)
		return err
	})
	return nodes, err
}

func readNodes(in traces.Input) ([]Node, error) {
	t, err := table.Open(in, table.Columns{Required: []string{"sn", "cpu_milli", "memory_mib", "gpu", "model"}})
	if err != nil {
		return nil, err
	}
	const perNode = 1024 // GPUs; far above any machine
	var nodes []Node
	seen := map[string]string{}
	for t.Next() {
		n := Node{Name: t.ID("sn"), CPUMilli: t.Int("cpu_milli", traces.CPUMilliMax),
			MemoryMiB: t.Int("memory_mib", traces.MemoryMiBMax), GPUs: int(t.Int("gpu", perNode)), Model: t.Word("model")}
		if n.GPUs > 0 && n.Model == "" {
			t.Fail(traces.CodeValue, "name the model of the node's GPUs", "model is empty on a node with %d GPUs", n.GPUs)
		}
		if n.GPUs == 0 && n.Model != "" {
			t.Fail(traces.CodeValue, "leave model empty", "model is %q on a node without GPUs", n.Model)
		}
		if first, twice := seen[n.Name]; twice {
			t.Fail(traces.CodeDuplicate, "give every node its own name", "node %q was there in %s", n.Name, first)
		}
		if t.Bad() {
			continue
		}
		seen[n.Name] = t.Where()
		nodes = append(nodes, n)
	}
	_, notes, err := t.Finish()
	if err == nil && len(notes) > 0 {
		err = &traces.Errors{Count: 1, Problems: []traces.Problem{{File: in.Path, Line: 1, Code: traces.CodeUnknown,
			Message: notes[0], Fix: "a node list has sn,cpu_milli,memory_mib,gpu,model"}}}
	}
	return nodes, err
}
