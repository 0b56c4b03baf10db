// Package keda does what KEDA's operator and metrics server do: it turns ScaledObjects into HorizontalPodAutoscalers,
// polls their triggers, scales between zero (or the idle number) and one, and serves the triggers' values as external
// metrics. Everything between one and the maximum is decided by upstream's horizontal pod autoscaler, which reads those
// metrics.
//
// # What is KEDA's, what is ours
//
// ScaledObject, its deep copies, its admission webhook, its checks of replica counts, triggers and fallback, and the
// compilation of scalingModifiers' formula are github.com/kedacore/keda/v2/apis/keda/v1alpha1 at v2.20.2 as they are;
// the webhook is asked about the manifests of a run before it begins. Formulas are
// evaluated by github.com/expr-lang/expr and cron expressions by github.com/robfig/cron/v3, as in KEDA. The rest is an
// implementation of KEDA's documented behaviour, since its controllers and scalers are not exported or link the SDKs of
// every cloud. It was written along these files of v2.20.2, which its functions name:
//   - controllers/keda/scaledobject_controller.go and hpa.go: from ScaledObject to HorizontalPodAutoscaler, pausing;
//   - pkg/scaling/scale_handler.go: the polling loop, activity, errors, and the metrics that the autoscaler reads;
//   - pkg/scaling/executor/scale_scaledobjects.go: activation, cool-down, idle replicas;
//   - pkg/fallback/fallback.go and pkg/scaling/modifiers/formula.go;
//   - pkg/scalers: prometheus, cron, cpu and memory, kubernetes-workload.
//
// Polls and reconciliations are events of the engine; there are no goroutines.
//
// # Differences from KEDA
//
//   - Triggers of other types than those five are refused: there is nothing that they could ask.
//   - A prometheus trigger asks the run's metrics, whatever its serverAddress; authentication, headers and TLS settings
//     are accepted and mean nothing. A query whose result is a scalar is refused at once; KEDA fails to read it in each
//     poll. KEDA cuts the instant of a query to whole seconds, here it is exact.
//   - A poll takes no time, and triggers are read in their order; KEDA reads them side by side.
//   - The status of a ScaledObject is written when conditions, activity, health or names change. lastActiveTime, which
//     KEDA writes in every poll of an active object, is written along with these.
//   - Failed writes do not happen. Events are not stored; what they say goes to the run's journal as the cause of a
//     change of replicas, and as conditions.
//   - ScaledJobs are refused. TriggerAuthentications are accepted and not looked at.
package keda
