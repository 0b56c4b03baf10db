package sim

import "orrery/sim/kube"

// Watch has fn see every write of the API of a run.
func (p Params) Watch(fn func(kube.Commit)) Params {
	p.watch = fn
	return p
}
