// Package gpushare is how pods ask for parts of GPUs, and how they are told which, in clusters that share GPUs by
// annotation: the scheduler picks the GPUs, and the node only carries out what it wrote down.
//
// The names are those of Alibaba's GPU-sharing clusters, as the published simulator of such a cluster defines them
// (hkust-adsl/kubernetes-scheduler-simulator, pkg/type/open-gpu-share/utils/const.go): a pod says how many GPUs it
// wants and how many thousandths of each, and may name models; a node says how many GPUs it has and of which model.
package gpushare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/units"
)

// Names of annotations of pods, unless said otherwise.
const (
	// Milli is the part of each GPU, in thousandths: "1000" is a whole one. The value of its limit is units.GPU.
	Milli = "alibabacloud.com/gpu-milli"
	// Count is the number of GPUs; of a node it is the extended resource that says how many it has.
	Count = "alibabacloud.com/gpu-count"
	// Model is the GPU model; several, any of which will do, are joined by |. Of a node it is a label.
	Model = "alibabacloud.com/gpu-card-model"
	// Index is written by the scheduler before it binds: the numbers of the pod's GPUs on its node, joined by -.
	Index = "alibabacloud.com/gpu-index"
)

// Request is what a pod asks for.
type Request struct {
	GPUs   int
	Milli  units.MilliGPU // of each, from 1 to 1000
	Models []string       // any of these will do; empty = any at all
}

// Total is the capacity asked for on all GPUs together.
func (r Request) Total() units.MilliGPU { return units.MilliGPU(r.GPUs) * r.Milli }

// Accepts reports whether a node whose GPUs are of this model will do.
func (r Request) Accepts(model string) bool {
	return len(r.Models) == 0 || slices.Contains(r.Models, model)
}

// Annotations writes a request down.
func (r Request) Annotations() map[string]string {
	out := map[string]string{Count: strconv.Itoa(r.GPUs), Milli: strconv.Itoa(int(r.Milli))}
	if len(r.Models) > 0 {
		out[Model] = strings.Join(r.Models, "|")
	}
	return out
}

// Parse reads a pod's request. A pod without the annotations asks for no GPU; one of them alone, or a number out of
// range, is an error.
func Parse(annotations map[string]string) (Request, error) {
	milli, hasMilli := annotations[Milli]
	count, hasCount := annotations[Count]
	if !hasMilli && !hasCount {
		return Request{}, nil
	}
	g, err := strconv.Atoi(count)
	if err != nil || g < 0 {
		return Request{}, fmt.Errorf("annotation %s: %q is not a number of GPUs", Count, count)
	}
	m, err := strconv.Atoi(milli)
	if err != nil || m < 0 || m > int(units.GPU) || (m == 0) != (g == 0) {
		return Request{}, fmt.Errorf("annotation %s: %q is not a part of a GPU; write 1 to %d", Milli, milli, units.GPU)
	}
	r := Request{GPUs: g, Milli: units.MilliGPU(m)}
	if models := annotations[Model]; models != "" {
		r.Models = strings.Split(models, "|")
	}
	return r, nil
}

// FormatIndex writes down which GPUs a pod has.
func FormatIndex(gpus []int) string {
	out := make([]string, len(gpus))
	for i, g := range gpus {
		out[i] = strconv.Itoa(g)
	}
	return strings.Join(out, "-")
}

// ParseIndex reads which GPUs a pod has: nil when nobody has written it down.
func ParseIndex(annotations map[string]string) ([]int, error) {
	text, ok := annotations[Index]
	if !ok {
		return nil, nil
	}
	var out []int
	for _, part := range strings.Split(text, "-") {
		g, err := strconv.Atoi(part)
		if err != nil || g < 0 || slices.Contains(out, g) {
			return nil, fmt.Errorf("annotation %s: %q is not a list of different GPUs; write it like 0-1", Index, text)
		}
		out = append(out, g)
	}
	return out, nil
}
