package training

import (
	"orrery/sim/model/storage"
	"orrery/sim/plan"
)

// classes are jobs known only by how much they communicate. Communication is 30 to 50 % of the step of large jobs
// (Arnold, arXiv 2509.15940: the middle is high); data-parallel jobs hide 50 to 80 % of theirs, which leaves 20 %
// (medium) to 8 % (low). The sizes are a gradient bucket of a large data-parallel job, a layer's parameters under full
// sharding, and the activations of a tensor-parallel layer.
var classes = map[string]plan.Intensity{
	"none":   {Share: 0, MessageBytes: 1 << 30},
	"low":    {Share: 0.08, MessageBytes: 1 << 30},
	"medium": {Share: 0.20, MessageBytes: 256 << 20},
	"high":   {Share: 0.40, MessageBytes: 64 << 20},
}

// Class returns an intensity class by name: none, low, medium or high; any other is medium.
func Class(name string) plan.Intensity {
	if c, ok := classes[name]; ok {
		return c
	}
	return classes["medium"]
}

// CheckpointBytes is the size of a model's checkpoint.
func CheckpointBytes(m *plan.Model) float64 { return storage.Bytes(m.Params) }
