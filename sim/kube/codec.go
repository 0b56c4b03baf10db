package kube

import "k8s.io/apimachinery/pkg/runtime"

type codecs struct{}

func newCodecs(s *runtime.Scheme) *codecs { return nil }
