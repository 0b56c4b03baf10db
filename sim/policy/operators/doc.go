// Package operators maps the objects of training and serving operators to the pods that those operators would create:
// JobSet (jobset.x-k8s.io/v1alpha2), TrainJob (trainer.kubeflow.org/v1alpha1), PyTorchJob (kubeflow.org/v1), RayJob and
// RayCluster (ray.io/v1) and LeaderWorkerSet (leaderworkerset.x-k8s.io/v1).
//
// It is a mapping, not the operators' code: each object becomes one group of pods (a LeaderWorkerSet one per replica),
// all made at once with the operator's names and labels, and then they are pods of a job of the run. What an operator
// does later (status, services, scaling, rollouts, retries that are counted) does not happen. Fields that would change
// which pods there are or what they ask for, and that the mapping does not follow, are refused; what containers do
// (image, command, environment, volumes, probes) and what an operator does with an object that has ended is accepted
// and left out. Pods never restart their containers: how work ends is the run's to say.
//
// Names and labels are those of (repository, file):
//   - kubernetes-sigs/jobset, pkg/controllers/jobset_controller.go (labelAndAnnotateObject, jobHashKey) and
//     pkg/util/placement/placement.go (GenJobName); pods of an Indexed Job are <job>-<index>-<suffix>, as
//     k8s.io/kubernetes pkg/controller/job/indexed_job_utils.go has it;
//   - kubeflow/trainer, manifests/base/runtimes/torch_distributed.yaml: a JobSet of the TrainJob's name whose
//     replicated job is called node, with numNodes pods;
//   - kubeflow/training-operator, pkg/controller.v1/common/pod.go (CreateNewPod), pkg/core/utils.go (GenGeneralName)
//     and pkg/apis/kubeflow.org/v1/common_types.go;
//   - ray-project/kuberay, ray-operator/controllers/ray/utils/util.go (PodGenerateName, GenerateRayClusterName) and
//     ray-operator/controllers/ray/common/pod.go (labelPod);
//   - kubernetes-sigs/lws, pkg/webhooks/pod_webhook.go and api/leaderworkerset/v1/leaderworkerset_types.go; the labels
//     of StatefulSets are those of k8s.io/kubernetes pkg/controller/statefulset/stateful_set_utils.go.
//
// Labels that hold an object's UID or a hash of its revision are left out, and random ends of names follow from the
// names: the same manifest makes the same pods in every run.
package operators
