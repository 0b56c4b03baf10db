package kubescheduler

// KubernetesVersion is the upstream release whose scheduler is linked in; go.mod pins the same.
const KubernetesVersion = "v1.37.2"
