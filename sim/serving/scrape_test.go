package serving

import (
	"slices"
	"strings"
	"testing"

	model "orrery/sim/model/serving"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestScrape checks names and values, that a series keeps its number, and that nothing is allocated.
func TestScrape(t *testing.T) {
	s := chat("chat")
	s.Router.MaxInFlight = 2
	rs := []plan.Request{{ID: 1, At: 0, Input: 100, Output: 91}, {ID: 2, At: 0, Input: 100, Output: 91},
		{ID: 3, At: 0, Input: 100, Output: 91}}
	batch := chat("batch")
	batch.Requests = -1
	g := newRig(t, []plan.Service{s, batch}, &given{requests: rs})
	g.ready(0, 0, "a", 1)
	g.ok(g.ReplicaReady(0, Endpoint{Service: 1, Name: "b", Spec: model.Spec{Role: plan.RoleBoth,
		Engine: plan.Engine{Preset: plan.EngineBatch, Batch: &plan.BatchModel{MemoryGiB: 2}}}}))
	ids := map[int]string{}
	values := map[string]float64{}
	scrape := func() {
		g.ok(g.Scrape(g.Now(), func(x Sample) {
			key := x.Replica + " " + x.Name
			for _, l := range x.Labels {
				key += " " + l.Name + "=" + l.Value
			}
			if was, ok := ids[x.Series]; ok && was != key {
				t.Fatalf("series %d is %s and %s", x.Series, was, key)
			}
			ids[x.Series] = key
			values[key] = x.Value
		}))
	}
	scrape()
	g.ok(g.Advance(ms(150)))
	scrape()
	series := len(ids)
	for key, want := range map[string]float64{
		"a vllm:num_requests_running model_name=chat engine=0":                       1,
		"a vllm:num_requests_waiting model_name=chat engine=0":                       1,
		"a vllm:prompt_tokens_total model_name=chat engine=0":                        200,
		"a vllm:request_success_total model_name=chat engine=0 finished_reason=stop": 1,
		"a vllm:time_to_first_token_seconds_bucket model_name=chat engine=0 le=0.01": 1,
		"a vllm:time_to_first_token_seconds_bucket model_name=chat engine=0 le=0.25": 2,
		"a vllm:time_to_first_token_seconds_bucket model_name=chat engine=0 le=+Inf": 2,
		"a vllm:time_to_first_token_seconds_sum model_name=chat engine=0":            0.12,
		"a vllm:inter_token_latency_seconds_count model_name=chat engine=0":          90,
		"a vllm:e2e_request_latency_seconds_bucket model_name=chat engine=0 le=0.3":  1,
		"b nv_inference_request_success model=batch version=1":                       0,
		" inference_objective_request_total model_name=chat target_model_name=chat":  3,
		" inference_pool_ready_pods name=chat":                                       1,
	} {
		if got, ok := values[key]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", key, got, ok, want)
		}
	}
	if busy, _, ok := g.Device("a"); !ok || busy != 1 {
		t.Errorf("a is busy %v (%v), want 1", busy, ok)
	}
	if _, memory, ok := g.Device("b"); !ok || memory != 2048 {
		t.Errorf("b holds %v MiB (%v), want 2048", memory, ok)
	}
	scrape()
	if len(ids) != series {
		t.Error("series appear")
	}
	n := 0
	count := func(Sample) { n++ }
	if a := testing.AllocsPerRun(10, func() { g.ok(g.Scrape(g.Now(), count)) }); a > 0 {
		t.Errorf("a scrape allocates %v times", a)
	}
}

// TestPages holds that servers show what they do under their engines' own names, and nothing under those of others.
func TestPages(t *testing.T) {
	for preset, x := range map[string]struct {
		prefix string
		want   map[string]float64
	}{
		plan.EngineVLLM: {"vllm:", map[string]float64{"vllm:num_requests_waiting model_name=chat engine=0": 1,
			"vllm:generation_tokens_total model_name=chat engine=0": 92}},
		plan.EngineSGLang: {"sglang:", map[string]float64{
			"sglang:num_queue_reqs engine_type=unified model_name=chat pp_rank=0 tp_rank=0":   1,
			"sglang:num_running_reqs engine_type=unified model_name=chat pp_rank=0 tp_rank=0": 1,
			"sglang:num_requests_total model_name=chat":                                       1,
			"sglang:time_to_first_token_seconds_bucket model_name=chat le=0.1":                1}},
		plan.EngineTGI: {"tgi_", map[string]float64{"tgi_queue_size": 1, "tgi_batch_current_size": 1, "tgi_request_count": 3,
			"tgi_request_success": 1, "tgi_request_generated_tokens_sum": 91, "tgi_request_duration_count": 1}},
		plan.EngineTRTLLM: {"", map[string]float64{
			"trtllm_num_requests_waiting engine_type=trtllm model_name=chat":                       1,
			"nv_trt_llm_request_metrics model=tensorrt_llm version=1 request_type=waiting":         1,
			"nv_trt_llm_request_metrics model=tensorrt_llm version=1 request_type=active":          2,
			"nv_inference_request_success model=tensorrt_llm version=1":                            1,
			"trtllm_time_to_first_token_seconds_count engine_type=trtllm model_name=chat":          2,
			"trtllm_request_success_total engine_type=trtllm model_name=chat finished_reason=stop": 1}},
	} {
		t.Run(preset, func(t *testing.T) {
			s := chat("chat")
			rs := []plan.Request{{ID: 1, Input: 100, Output: 91}, {ID: 2, Input: 100, Output: 91}, {ID: 3, Input: 100, Output: 91}}
			g := newRig(t, []plan.Service{s}, &given{requests: rs})
			g.ok(g.ReplicaReady(0, Endpoint{Name: "a", Spec: model.Spec{Role: plan.RoleBoth,
				Engine: plan.Engine{Preset: preset, MaxSequences: 1}}}))
			g.ok(g.Advance(ms(150)))
			got, names := map[string]float64{}, map[string]bool{}
			g.ok(g.Scrape(g.Now(), func(x Sample) {
				if x.Replica == "" {
					return
				}
				key := x.Name
				for _, l := range x.Labels {
					key += " " + l.Name + "=" + l.Value
				}
				got[key], names[x.Name] = x.Value, true
			}))
			for key, want := range x.want {
				if v, ok := got[key]; !ok || v != want {
					t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
				}
			}
			for name := range names {
				if !strings.HasPrefix(name, x.prefix) || !slices.Contains(Names(preset), name) {
					t.Errorf("%s is not among %v", name, Names(preset))
				}
			}
		})
	}
}

// TestExposed checks that only what is asked for is given, and that a slower replica takes longer.
func TestExposed(t *testing.T) {
	src := load(4, 50, 20, 100)
	var took []units.Duration
	for _, speed := range []int64{0, 500000} {
		src.next = 0
		g := newRigOf(t, model.New, []plan.Service{chat("chat")}, src)
		g.p.Exposed = func(name string) bool { return name == "vllm:num_requests_running" }
		g.services[0].series = g.services[0].describe()
		g.ok(g.ReplicaReady(0, half("a", plan.RoleBoth, "")))
		if speed > 0 {
			g.ok(g.SetSpeed(0, "a", speed))
			g.ok(g.SetSpeed(0, "a", speed))
			if n := len(g.replicas); n != 2 || g.replicas[1].Speed != speed {
				t.Errorf("%+v", g.replicas)
			}
		}
		n := 0
		g.ok(g.Scrape(g.Now(), func(x Sample) {
			if n++; x.Name != "vllm:num_requests_running" {
				t.Error(x.Name)
			}
		}))
		if n != 1 {
			t.Errorf("%d samples", n)
		}
		g.drain()
		g.ok(g.Window(g.Now()))
		took = append(took, g.windows[0].E2E.Sum)
	}
	if took[0] >= took[1] {
		t.Errorf("at half the speed requests take %v, at the whole %v", took[1], took[0])
	}
}

// TestBadInput checks the errors of what cannot be.
func TestBadInput(t *testing.T) {
	s := chat("chat")
	for _, rs := range [][]plan.Request{
		{{ID: 1, At: 5, Input: 1, Output: 1}, {ID: 2, At: 4, Input: 1, Output: 1}},
		{{ID: 1, At: 5, Input: 0, Output: 1}},
		{{ID: 1, At: -5, Input: 1, Output: 1}},
	} {
		p, err := New(Params{Services: []plan.Service{s}, Sources: []plan.RequestSource{&given{requests: rs}},
			Streams: newRig(t, nil).p.Streams})
		if err == nil {
			err = p.Advance(100)
		}
		if err == nil || !strings.Contains(err.Error(), "service chat") {
			t.Errorf("%v: %v", rs, err)
		}
	}
	two := []plan.Service{chat("a"), chat("b"), {Name: "c"}}
	two[0].Before = []plan.Stage{{Name: "x", Service: 9}}
	_, err := New(Params{Services: two, Sources: []plan.RequestSource{&given{}}, Streams: newRig(t, nil).p.Streams})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
	g := newRig(t, []plan.Service{s}, &given{})
	g.ready(10, 0, "a", 1)
	for what, err := range map[string]error{
		"back":    g.Advance(5),
		"unknown": g.ReplicaGone(20, "x", ""),
		"twice":   g.ReplicaReady(20, Endpoint{Name: "a"}),
		"service": g.ReplicaReady(20, Endpoint{Name: "b", Service: 4}),
		"group":   g.ReplicaReady(20, Endpoint{Name: "b", Group: 4}),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
