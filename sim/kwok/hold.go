package kwok

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"orrery/sim/units"
)

// Hold takes the start of a pod's containers away from stages: it is Start's and Ready's. A pod that is deleted goes by
// its stages all the same.
func (c *Controller) Hold(namespace, name string) {
	k := objectKey{podType, namespace, name}
	c.holds[k] = true
	if o := c.objects[k]; o != nil {
		c.drop(o)
	}
}

// Prepared returns when the devices of a pod's claims are prepared, which may have passed.
func (c *Controller) Prepared(namespace, name string) units.Time {
	if o := c.objects[objectKey{podType, namespace, name}]; o != nil && o.pod != nil {
		return o.pod.heldUntil
	}
	return 0
}

// Start ends a pod's hold: its containers run from now on, and are not ready. It writes to the API.
func (c *Controller) Start(namespace, name string) error {
	return c.write(namespace, name, corev1.PodPending, func(p *corev1.Pod) { c.run(p, false) })
}

// Ready says that a pod's containers, which run, are ready: its readiness probes succeed. It writes to the API.
func (c *Controller) Ready(namespace, name string) error {
	return c.write(namespace, name, corev1.PodRunning, func(p *corev1.Pod) {
		st := &p.Status
		st.Conditions = mergeConditions(st.Conditions, readiness(p, true, c.stampTime())...)
		for i := range st.Conditions {
			if x := &st.Conditions[i]; x.Type == corev1.PodReady || x.Type == corev1.ContainersReady {
				x.Reason = ""
			}
		}
		st.ContainerStatuses = append([]corev1.ContainerStatus(nil), st.ContainerStatuses...)
		for i := range st.ContainerStatuses {
			st.ContainerStatuses[i].Ready = true
		}
	})
}

// write changes the status of an admitted pod in a phase.
func (c *Controller) write(namespace, name string, phase corev1.PodPhase, change func(*corev1.Pod)) error {
	k := objectKey{podType, namespace, name}
	o := c.objects[k]
	if o == nil || o.pod == nil || o.pod.rejected || o.obj.(*corev1.Pod).Status.Phase != phase {
		return fmt.Errorf("pod %s/%s is not an admitted one that is %s", namespace, name, phase)
	}
	delete(c.holds, k)
	p := *o.obj.(*corev1.Pod)
	c.playing = name
	change(&p)
	_, err := c.p.API.Update(&p, "status")
	return err
}
