package incremental

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// FailureHandler returns a failure handler for the scheduler: upstream's, except for pods that found no node
// incrementally. What happens to those is what upstream's handleSchedulingFailure does, less two copies of the pod, its
// metrics and the event that nobody takes: what an informer holds is not written to here, by anybody.
func (c *Cycle) FailureHandler(upstream scheduler.FailureHandlerFn,
	client kubernetes.Interface) scheduler.FailureHandlerFn {
	return func(ctx context.Context, f framework.Framework, info *framework.QueuedPodInfo, status *fwk.Status,
		nominating *fwk.NominatingInfo, start time.Time) {
		fit, ok := status.AsError().(*framework.FitError)
		if !ok || c.unfit == nil || fit != c.unfit || !status.IsRejected() {
			upstream(ctx, f, info, status, nominating, start)
			return
		}
		c.unfit = nil
		c.requeue(ctx, f, info, fit, nominating, client)
	}
}

func (c *Cycle) requeue(ctx context.Context, f framework.Framework, info *framework.QueuedPodInfo,
	fit *framework.FitError, nominating *fwk.NominatingInfo, client kubernetes.Interface) {
	logger, queue := klog.FromContext(ctx), c.sched.SchedulingQueue
	next := &framework.QueuedPodInfo{PodInfo: info.PodInfo, QueueingParams: info.QueueingParams,
		PodSignature: info.PodSignature}
	next.UnschedulablePlugins, next.PendingPlugins = fit.Diagnosis.UnschedulablePlugins, fit.Diagnosis.PendingPlugins
	next.GatingPlugin, next.GatingPluginEvents = "", nil

	pod := info.Pod
	lister := f.SharedInformerFactory().Core().V1().Pods().Lister()
	latest, err := lister.Pods(pod.Namespace).Get(pod.Name)
	switch {
	case err != nil || latest.Spec.NodeName != "": // it is gone, or somebody else bound it
		defer queue.Done(pod.UID)
	case latest.UID != pod.UID: // it was made anew
		queue.Done(pod.UID)
		return
	default:
		pod = latest
		next.PodInfo, _ = framework.NewPodInfo(latest) // as upstream: the API has checked the affinity terms
		if err := queue.AddUnschedulablePodIfNotPresent(logger, next, queue.SchedulingCycle()); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Error occurred")
		}
	}
	queue.AddNominatedPod(logger, next.PodInfo, nominating)
	if err := tell(ctx, f, pod, fit.Error(), nominating, client); err != nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Error updating pod", "pod", klog.KObj(pod))
	}
}

// tell writes the pod's PodScheduled condition and its nominated node, if they changed: upstream's updatePod.
func tell(ctx context.Context, f framework.Framework, pod *v1.Pod, message string, nominating *fwk.NominatingInfo,
	client kubernetes.Interface) error {
	condition := &v1.PodCondition{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonUnschedulable,
		ObservedGeneration: podutil.CalculatePodConditionObservedGeneration(&pod.Status, pod.Generation, v1.PodScheduled),
		Message:            message}
	if cacher := f.APICacher(); cacher != nil {
		_, err := cacher.PatchPodStatus(pod, []*v1.PodCondition{condition}, nominating)
		return err
	}
	status := pod.Status
	status.Conditions = slices.Clone(status.Conditions)
	renominated := nominating.Mode() == fwk.ModeOverride && status.NominatedNodeName != nominating.NominatedNodeName
	if !podutil.UpdatePodCondition(&status, condition) && !renominated {
		return nil
	}
	if renominated {
		status.NominatedNodeName = nominating.NominatedNodeName
	}
	return util.PatchPodStatus(ctx, client, pod.Name, pod.Namespace, &pod.Status, &status)
}
