package hpa

import (
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// labelIndex is the name of the index of pods by namespace and label.
const labelIndex = "orrery.dev/label"

// labelKey is the value of a label in the index.
func labelKey(ns, key, value string) string { return ns + "/" + key + "=" + value }

// pods is a pod informer whose lister finds pods by a label that its selector demands: upstream's looks at all pods of
// the namespace, twice or three times at every sync.
type pods struct {
	coreinformers.PodInformer
}

// indexedPods adds the index to the informer, once.
func indexedPods(inf coreinformers.PodInformer) (coreinformers.PodInformer, error) {
	if _, ok := inf.Informer().GetIndexer().GetIndexers()[labelIndex]; !ok {
		err := inf.Informer().AddIndexers(cache.Indexers{labelIndex: func(obj any) ([]string, error) {
			pod, ok := obj.(*corev1.Pod)
			if !ok {
				return nil, nil
			}
			out := make([]string, 0, len(pod.Labels))
			for key, value := range pod.Labels {
				out = append(out, labelKey(pod.Namespace, key, value))
			}
			return out, nil
		}})
		if err != nil {
			return nil, err
		}
	}
	return pods{inf}, nil
}

// Lister implements coreinformers.PodInformer.
func (p pods) Lister() corelisters.PodLister {
	return lister{p.PodInformer.Lister(), p.Informer().GetIndexer()}
}

type lister struct {
	corelisters.PodLister
	index cache.Indexer
}

// Pods implements corelisters.PodLister.
func (l lister) Pods(ns string) corelisters.PodNamespaceLister {
	return namespaceLister{l.PodLister.Pods(ns), l.index, ns}
}

type namespaceLister struct {
	corelisters.PodNamespaceLister
	index cache.Indexer
	ns    string
}

// List implements corelisters.PodNamespaceLister.
func (l namespaceLister) List(ls labels.Selector) ([]*corev1.Pod, error) {
	requirements, selectable := ls.Requirements()
	if !selectable {
		return nil, nil
	}
	for i := range requirements {
		r := &requirements[i]
		value, one := r.Values().PopAny()
		if !one || r.Values().Len() != 1 || r.Operator() != selection.Equals && r.Operator() != selection.DoubleEquals &&
			r.Operator() != selection.In {
			continue
		}
		objs, err := l.index.ByIndex(labelIndex, labelKey(l.ns, r.Key(), value))
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		out := make([]*corev1.Pod, 0, len(objs))
		for _, obj := range objs {
			if pod := obj.(*corev1.Pod); ls.Matches(labels.Set(pod.Labels)) {
				out = append(out, pod)
			}
		}
		return out, nil
	}
	return l.PodNamespaceLister.List(ls)
}
