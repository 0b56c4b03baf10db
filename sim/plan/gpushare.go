package plan

import "orrery/sim/units"

// SharingFraction is the sharing strategy of GPUs that the scheduler itself divides: pods ask for any part of one by
// annotation, and a scheduler plugin picks the GPUs. No device plugin offers them.
const SharingFraction = "fraction"

// FractionResource is the extended resource that says how many GPUs such a node has; pods do not ask for it.
const FractionResource = "alibabacloud.com/gpu-count"

// FractionModelLabel is the label that says which GPUs such a node has: the catalogue key.
const FractionModelLabel = "alibabacloud.com/gpu-card-model"

// Fraction is what a pod asks for by annotation: a part of each of some GPUs, or whole ones.
type Fraction struct {
	GPUs   int
	Milli  units.MilliGPU // of each, 1 to 1000
	Models []string       // values of FractionModelLabel, any of which will do, sorted; empty = any GPU
}
