// Package karpenter runs Karpenter, the autoscaler of nodes, as it is: all controllers of sigs.k8s.io/karpenter.
package karpenter
