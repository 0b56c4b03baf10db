package kwok

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/journal"
	"orrery/sim/kube/gpushare"
	"orrery/sim/units"
)

// written returns the GPUs that the scheduler wrote into the pod's annotations, if it asks for any that way. Like the
// device plugin of such a cluster, the node gives what is written there or nothing.
func (c *Controller) written(s *podState, pod *corev1.Pod) ([]journal.Slot, error) {
	request, err := gpushare.Parse(pod.Annotations)
	if err != nil || request.GPUs == 0 {
		return nil, err
	}
	gpus, err := gpushare.ParseIndex(pod.Annotations)
	switch {
	case err != nil:
		return nil, err
	case len(gpus) != request.GPUs:
		return nil, fmt.Errorf("annotation %s naming %d GPUs of %d: no scheduler plugin picked them", gpushare.Index,
			len(gpus), request.GPUs)
	}
	if _, ok := c.p.Fleet.Free(s.node, gpushare.Count); !ok {
		return nil, fmt.Errorf("a node whose GPUs are not shared by annotation")
	}
	want := make([]journal.Slot, len(gpus))
	for i, g := range gpus {
		want[i] = journal.Slot{Index: g, Share: min(request.Milli, units.GPU)}
	}
	return want, nil
}
