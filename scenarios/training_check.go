package scenarios

import (
	"cmp"
	"fmt"

	"orrery/sim/model/training"
	"orrery/sim/plan"
)

// checkTraining finds work that cannot be: no or two kinds of it, groups that do not divide, models that do not fit.
func (s *Scenario) checkTraining() {
	t, p := s.Workload.Training, s.doc.Problemf
	if t == nil || !s.doc.Has("cluster") {
		return
	}
	const path = "workload.training"
	d := &t.Default
	if d.Tenant != "" || d.Class != "" || d.MinGPUs != 0 || d.MaxGPUs != 0 {
		p(path+".default", "%s.default: it is for all jobs that no rule matches; move tenant, class, minGPUs and maxGPUs to "+
			"a rule", path)
	}
	s.checkWork(path+".default", d)
	for i := range t.Rules {
		s.checkWork(fmt.Sprintf("%s.rules[%d]", path, i), &t.Rules[i])
	}
	if t.Reference != "" {
		if _, err := s.accelerator(t.Reference, nil); err != nil {
			p(path+".reference", "%s.reference: %v", path, err)
		}
	}
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if _, err := s.catalog.Lookup(pool.GPU); pool.GPU == "" || err != nil {
			continue
		}
		if _, err := s.accelerator(pool.GPU, nil); err != nil {
			at := fmt.Sprintf("cluster.pools[%d].gpu", i)
			p(at, "%s: %v; give its figures in a file under catalog:, or remove workload.training", at, err)
		}
	}
	if c := t.Checkpoint; c != nil && c.Every == 0 && s.Workload.Restart.CheckpointInterval == 0 {
		p(path+".checkpoint", "%s.checkpoint: nothing says how often; add e.g. every: 30m", path)
	}
	if t.Checkpoint != nil && s.Cluster.Storage == nil {
		p(path+".checkpoint", "%s.checkpoint: nothing says how fast the storage is; add e.g. cluster.storage: "+
			"{writeGBs: 100, readGBs: 200}", path)
	}
}

func (s *Scenario) checkWork(path string, w *TrainingWork) {
	p := s.doc.Problemf
	if path == defaultWork && w.Intensity == IntensityMedium && !s.doc.Has(path+".intensity") &&
		(w.Share != nil || w.Model != "" || w.Shape != nil) {
		w.Intensity = "" // the default's own
	}
	given := 0
	for _, yes := range []bool{w.Intensity != "", w.Share != nil, w.Model != "", w.Shape != nil} {
		if yes {
			given++
		}
	}
	switch {
	case given != 1:
		p(path, "%s: give exactly one of intensity, share, model and shape", path)
		return
	case w.MaxGPUs > 0 && w.MaxGPUs < w.MinGPUs:
		p(path+".maxGPUs", "%s.maxGPUs: %d is below minGPUs %d; exchange them", path, w.MaxGPUs, w.MinGPUs)
		return
	case w.Model == "" && w.Shape == nil:
		for _, f := range w.modelFields() {
			p(path+"."+f, "%s.%s: only with a model or a shape; add one or remove it", path, f)
		}
		return
	case w.MessageMiB > 0:
		p(path+".messageMiB", "%s.messageMiB: a model has messages of its own; remove it", path)
	}
	if w.Model != "" {
		if _, err := training.Lookup(w.Model); err != nil {
			p(path+".model", "%s.model: %v; or give its numbers under shape:", path, err)
			return
		}
	} else if !s.checkShape(path+".shape", w.Shape) {
		return
	}
	s.checkModel(path, w)
}

// checkShape finds numbers that no transformer has together, and reports whether there are none.
func (s *Scenario) checkShape(at string, m *ModelShape) bool {
	var problems int
	p := func(field, format string, args ...any) {
		problems++
		s.doc.Problemf(at+field, at+field+": "+format, args...)
	}
	if m.Experts == 0 {
		for _, f := range []struct {
			name  string
			value int
		}{{".topK", m.TopK}, {".expertFFN", m.ExpertFFN}, {".moeLayers", m.MoELayers}} {
			if f.value > 0 {
				p(f.name, "only with experts; add that or remove it")
			}
		}
	} else {
		if m.TopK < 1 || m.TopK > m.Experts {
			p(".topK", "%d of %d experts cannot see a token; write 1 to %d", m.TopK, m.Experts, m.Experts)
		}
		if m.ExpertFFN < 1 {
			p(".expertFFN", "nothing says how wide an expert is; add its inner width")
		}
		if m.MoELayers > m.Layers {
			p(".moeLayers", "%d of %d layers; write at most %d", m.MoELayers, m.Layers, m.Layers)
		}
	}
	if m.KV > cmp.Or(m.Query, m.Hidden) {
		p(".kv", "%d is more than query, %d; exchange them", m.KV, cmp.Or(m.Query, m.Hidden))
	}
	m.checkAttention(p)
	if problems > 0 {
		return false
	}
	inside := float64(float64(m.Vocabulary) * float64(m.Hidden))
	if !m.Tied {
		inside *= 2
	}
	if inside += m.model().ExpertParams; inside > m.Params {
		p(".params", "%g, but the embeddings and experts alone have %g; correct one of them", m.Params, inside)
	}
	return problems == 0
}

// checkAttention tells p of heads and windows that do not suit the rest of a shape.
func (m *ModelShape) checkAttention(p func(field, format string, args ...any)) {
	query := cmp.Or(m.Query, m.Hidden)
	if m.Head > 0 && query%m.Head != 0 {
		p(".head", "query, %d, is no multiple of %d; correct one of them", query, m.Head)
	}
	if m.Head > 0 && !m.Latent && cmp.Or(m.KV, query)%m.Head != 0 {
		p(".head", "kv, %d, is no multiple of %d; correct one of them", m.KV, m.Head)
	}
	if m.Latent && m.KV == 0 {
		p(".latent", "nothing says how wide the cached vector is; add kv, e.g. 576")
	}
	switch {
	case m.Window > 0 && m.WindowLayers == 0:
		p(".window", "nothing says which layers have it; add windowLayers, at most %d", m.Layers)
	case m.Window == 0 && m.WindowLayers > 0:
		p(".windowLayers", "nothing says how long the window is; add window, e.g. 4096")
	case m.WindowLayers > m.Layers:
		p(".windowLayers", "%d of %d layers; write at most %d", m.WindowLayers, m.Layers, m.Layers)
	}
}

// modelFields lists the fields that say how a model is spread over GPUs and that are not at their default.
func (w *TrainingWork) modelFields() (names []string) {
	var d TrainingWork
	d.SetDefaults()
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"sequence", w.Sequence != d.Sequence}, {"microBatch", w.MicroBatch != d.MicroBatch},
		{"globalBatch", w.GlobalBatch != d.GlobalBatch}, {"tensor", w.Tensor != d.Tensor},
		{"pipeline", w.Pipeline != d.Pipeline}, {"stages", w.Stages != d.Stages}, {"context", w.Context != d.Context},
		{"expert", w.Expert != d.Expert}, {"precision", w.Precision != d.Precision},
		{"sharding", w.Sharding != d.Sharding}, {"recompute", w.Recompute != d.Recompute},
		{"memory", w.Memory != d.Memory},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

// checkModel checks groups and memory of the smallest job that a rule is for.
func (s *Scenario) checkModel(path string, w *TrainingWork) {
	p := s.doc.Problemf
	t := s.work(w)
	least := w.Tensor * w.Pipeline * w.Context
	ranks := max(w.MinGPUs, least)
	if w.MinGPUs > 0 && w.MinGPUs < least {
		p(path+".minGPUs", "%s.minGPUs: tensor %d × pipeline %d × context %d take %d GPUs; write minGPUs: %d or more", path,
			w.Tensor, w.Pipeline, w.Context, least, least)
		return
	}
	if err := training.Check(t, ranks); err != nil {
		p(path, "%s: %v", path, err)
		return
	}
	err := s.fits(t, ranks)
	if w.Memory == memoryIgnore || err == nil {
		return
	}
	fit := 0
	for n := 2 * ranks; n <= s.gpus() && fit == 0; n *= 2 {
		if s.fits(t, n) == nil {
			fit = n
		}
	}
	switch {
	case fit == 0:
		p(path, "%s: %v; the cluster has not enough GPUs for it as it is; or write memory: ignore", path, err)
	case path != defaultWork: // smaller jobs of the default are counted when they come
		p(path, "%s: %v; as it is it fits from %d GPUs on: write minGPUs: %d, or memory: ignore", path, err, fit, fit)
	}
}

const defaultWork = "workload.training.default"

// fits returns nil when the work of so many ranks fits the GPUs of some pool, else why it does not fit the first's.
func (s *Scenario) fits(t *plan.Training, ranks int) (first error) {
	for i := range s.Cluster.Pools {
		pool := &s.Cluster.Pools[i]
		if pool.GPU == "" {
			continue
		}
		a, err := s.accelerator(pool.GPU, pool)
		if err != nil {
			continue // reported at the pool
		}
		if err = training.CheckMemory(t, ranks, a); err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
