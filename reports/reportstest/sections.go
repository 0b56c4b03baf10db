package reportstest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"orrery/sim/result"
)

// causeIDs are the causes of fragmentation in the order of results.
var causeIDs = []string{"node_kind", "gpu_count", "mig_geometry", "cpu", "memory", "pods", "gang", "topology", "other"}

// sections fills what only runs with MIG, gangs, a topology or speeds have; the causes divide the ledger's fragmented
// time exactly.
func sections(d *result.Data, p Params, r *rand.Rand) {
	fragmentation(d, r)
	s := &d.Summary
	s.MIG = &result.MIG{StrandedHours: 17.5}
	for i, name := range []string{"1g.10gb", "2g.20gb", "3g.40gb", "<7g.80gb>"} {
		row := result.MIGProfile{Profile: name, Slices: []int64{1, 2, 4, 8}[i], InstancesPeak: int64(14 - 3*i),
			Assigned: int64(r.IntN(300)), OfferedHours: 200, UsedHours: 200 * r.Float64()}
		row.IdleHours, row.UsedFraction = row.OfferedHours-row.UsedHours, row.UsedHours/row.OfferedHours
		row.OfferedSliceHours, row.UsedSliceHours = row.OfferedHours*8, row.UsedHours*8
		s.MIG.Profiles = append(s.MIG.Profiles, row)
		s.MIG.OfferedHours += row.OfferedHours
		s.MIG.UsedHours += row.UsedHours
	}
	s.MIG.IdleHours, s.MIG.UsedFraction = s.MIG.OfferedHours-s.MIG.UsedHours, s.MIG.UsedHours/s.MIG.OfferedHours
	s.Gangs = &result.Gangs{Jobs: p.Jobs / 3, Placed: p.Jobs/3 - 1, NeverPlaced: 1, Wait: distribution(r, p.Jobs/3, 2000)}
	s.PartlyPlaced = &result.PartlyPlaced{Jobs: 12, Seconds: distribution(r, p.Jobs/2, 60), GPUHours: 31.4}
	s.Locality = &result.Locality{Jobs: p.Jobs / 2, GPUHours: 800, LayerNames: []string{"spine", "leaf", "node"},
		Layers: map[string]result.LayerLocality{}}
	for i, name := range s.Locality.LayerNames {
		f := []float64{1, 0.62, 0.2}[i]
		s.Locality.Layers[name] = result.LayerLocality{WithinJobs: int64(f * float64(p.Jobs/2)), WithinFraction: f,
			WithinGPUHours: 800 * f * f, WithinGPUShare: f * f, DomainsMean: 1 + 2*float64(i)}
	}
	speed(d, p, r)
	domains(d, p)
	s.Models = []result.Model{{Name: "training-step", Formula: "step = max(compute, exposed communication) + bubble",
		Sources: []string{"Narayanan et al. 2021"}, Calibration: "8 published runs", Error: "mean 9 %, worst 17 %",
		LeavesOut: []string{"stragglers", "<b>congestion</b> inside a switch"}}}
}

func fragmentation(d *result.Data, r *rand.Rand) {
	s, f := &d.Series, &d.Fragmentation
	f.T, f.Bin = s.T, s.Bin
	var sum float64
	for _, id := range causeIDs {
		f.Causes = append(f.Causes, result.Cause{ID: id, GPUs: make([]float64, len(s.T))})
	}
	for b, free := range s.IdleFragmented {
		weights, total := make([]float64, len(causeIDs)), 0.0
		for c := range weights {
			weights[c] = r.Float64() * []float64{1, 6, 1, 2, 0.2, 0, 2, 1, 0.5}[c]
			total += weights[c]
		}
		for c := range weights {
			gpus := free * weights[c] / total
			f.Causes[c].GPUs[b] = gpus
			f.Causes[c].Hours += gpus * s.Bin / 3600
			sum += gpus * s.Bin / 3600
		}
	}
	d.Summary.Fragmentation = &result.Fragmentation{IdleHours: sum, MainCause: "gpu_count", Samples: int64(len(s.T)),
		BinSeconds: s.Bin}
}

func speed(d *result.Data, p Params, r *rand.Rand) {
	s := &result.Speed{Jobs: p.Jobs, Slowdown: result.Distribution{Count: p.Jobs, Mean: 1.12, P50: 1.04, P90: 1.3,
		P95: 1.5, P99: 2.1,
		Max: 2.8}, WorkingHours: 1000, HardwareHours: 12, GainedHours: 3, PlacementHours: 61, SharingHours: 33}
	s.EffectiveHours = s.WorkingHours + s.GainedHours - s.HardwareHours - s.PlacementHours - s.SharingHours
	s.EffectiveFraction = s.EffectiveHours / s.WorkingHours
	d.Summary.Speed = s
	d.SpeedHist.Edges = []float64{0, 1, 1.01, 1.05, 1.1, 1.2, 1.5, 2, 4}
	for i := range len(d.SpeedHist.Edges) - 1 {
		d.SpeedHist.Counts = append(d.SpeedHist.Counts, int64(float64(p.Jobs)*math.Exp(-float64(i)/2)*r.Float64()))
	}
}

// domains groups the nodes by twos into leaves and by fours into spines.
func domains(d *result.Data, p Params) {
	for _, x := range []struct {
		name string
		per  int
	}{{"spine", 4}, {"leaf", 2}} {
		l := result.Layer{Name: x.name}
		for i := 0; i < len(d.Nodes); i += x.per {
			o := result.Domain{Name: fmt.Sprintf("%s-%d <&>", x.name, i/x.per+1), Heat: make([]float32, p.HeatBins)}
			block := d.Nodes[i:min(i+x.per, len(d.Nodes))]
			for _, n := range block {
				o.Nodes++
				o.GPUs += int64(n.GPUs)
				o.CapHours += n.CapHours
				o.UsedHours += n.UsedHours
				o.DownHours += n.DownHours
				for h := range min(p.HeatBins, len(n.Heat)) {
					o.Heat[h] += max(0, n.Heat[h]) / float32(len(block))
				}
			}
			l.Domains = append(l.Domains, o)
		}
		d.Layers = append(d.Layers, l)
	}
	topology(d, p.PerNode)
}

// randomSections draws each of the sections: absent, empty or of any figures.
func randomSections(d *result.Data, r *rand.Rand) {
	s := &d.Summary
	some := func() bool { return r.IntN(3) > 0 }
	if some() {
		s.Fragmentation = &result.Fragmentation{IdleHours: amount(r), MainCause: "cpu", Samples: int64(r.IntN(3))}
		d.Fragmentation = result.FragmentationSeries{Bin: 60, T: []float64{0, 60}}
		for range r.IntN(4) {
			d.Fragmentation.Causes = append(d.Fragmentation.Causes, result.Cause{ID: causeIDs[r.IntN(len(causeIDs))],
				Hours: amount(r), GPUs: []float64{amount(r), amount(r)}})
		}
	}
	if some() {
		s.MIG = &result.MIG{OfferedHours: amount(r), UsedHours: amount(r), StrandedHours: amount(r)}
		for i := range r.IntN(3) {
			s.MIG.Profiles = append(s.MIG.Profiles, result.MIGProfile{Profile: fmt.Sprint(i), OfferedHours: amount(r),
				UsedHours: amount(r), IdleHours: amount(r)})
		}
	}
	if some() {
		n := int64(r.IntN(5))
		s.Gangs = &result.Gangs{Jobs: n, Placed: n, Wait: rising(r, n)}
	}
	if some() {
		s.PartlyPlaced = &result.PartlyPlaced{GPUHours: amount(r), Seconds: rising(r, int64(r.IntN(3)))}
	}
	if some() {
		s.Locality = &result.Locality{Jobs: int64(r.IntN(4)), GPUHours: amount(r), LayerNames: []string{"a", "b"}[:r.IntN(3)],
			Layers: map[string]result.LayerLocality{"a": {WithinJobs: int64(r.IntN(4)), WithinGPUShare: r.Float64()}}}
	}
	if some() {
		s.Speed = &result.Speed{Jobs: int64(r.IntN(3)), Slowdown: rising(r, 2), EffectiveHours: amount(r),
			PlacementHours: amount(r), SharingHours: amount(r), HardwareHours: amount(r)}
		s.Speed.WorkingHours = s.Speed.EffectiveHours + s.Speed.PlacementHours + s.Speed.SharingHours + s.Speed.HardwareHours
		d.SpeedHist = result.Histogram{Edges: []float64{0, 1, 2}, Counts: []int64{int64(r.IntN(2)), int64(r.IntN(2))}}
	}
	for l := range r.IntN(4) {
		layer := result.Layer{Name: fmt.Sprint("layer", l)}
		for i := range r.IntN(4) {
			layer.Domains = append(layer.Domains, result.Domain{Name: fmt.Sprint("d", i), GPUs: int64(r.IntN(3)),
				UsedHours: amount(r), Heat: []float32{-1, r.Float32()}})
			o := &layer.Domains[i]
			o.CapHours = o.UsedHours + amount(r)
		}
		d.Layers = append(d.Layers, layer)
	}
	if some() {
		randomTopology(d, r)
	}
	for range r.IntN(3) {
		s.Models = append(s.Models, result.Model{Name: "m"})
	}
}
