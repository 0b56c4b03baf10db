package training

import (
	"fmt"
	"strings"

	"orrery/sim/model/card"
	"orrery/sim/model/collective"
	"orrery/sim/model/storage"
)

// Cards are the cards of this package and of the models it is built from.
func Cards() []card.Card { return []card.Card{Card(), collective.Card(), storage.Card()} }

// Card describes the model. Its errors are computed from the validation table.
func Card() card.Card {
	p := fitted
	c := card.Card{
		Name: "training", Title: "Training speed",
		Question: "How long is an optimiser step of a training job in the best placement and where its ranks landed, and " +
			"what does it send over the network?",
		Formula: []string{
			"Step = computation + exposed communication (tensor, context, expert, data, pipeline) + bubble + optimiser + " +
				"stragglers + launches + checkpoints.",
			"Computation of a micro-batch: 6 FLOP per active parameter and token (8 with full recomputation) at the GPU's " +
				"measured matrix ceiling × g, but not faster than the weights come from memory; causal attention, 6 × layers × " +
				"width × sequence per token and its own recomputation, at the half-precision ceiling × a; element-wise work, w × " +
				"hidden bytes per token and layer, at 0.8 of the memory's bandwidth. Experts reach width ÷ (width + n) of g.",
			"Bubble = (stages - 1) ÷ virtual stages micro-batches.",
			"Tensor parallelism: two all-gathers and two reduce-scatters of the activations per layer forward, as many " +
				"backward. Expert: dispatch and combine, forward and backward. Context: keys and values round a ring behind " +
				"attention. Data: gradients reduced in fp32 and parameters gathered in bf16, once a step; with full sharding " +
				"parameters twice and gradients once a micro-batch. Each on the links that its groups really use (see " +
				"Collectives), the slowest group counting, and not faster than the uplinks of the domains that it leaves.",
			"Ranks: tensor innermost, then context, data (experts inside), pipeline (NVIDIA/Megatron-LM's default).",
			"Stragglers: the greatest of all GPUs' speeds, normally distributed with σ, against the mean.",
			"Speed = (ideal step on the reference GPU ÷ ideal step on the GPUs landed on) × (ideal ÷ actual step). Without a " +
				"model: 1 - share of the step computes, share waits for all-reduces, in the best place over four nodes.",
			"Memory: 18 bytes per parameter, 6 + 12/d with the optimiser sharded, 18/d with full sharding; 34 bytes per " +
				"token, " +
				"hidden size and layer for the micro-batches in flight (2 with full recomputation).",
		},
		Sources: []string{
			"NVIDIA/Megatron-LM, commit d98e8a6; Narayanan et al., arXiv 2104.04473: parallelism, schedule, FLOP",
			"Korthikanti et al., arXiv 2205.05198: activations, sequence parallelism",
			"Machine Learning Engineering, commit 744d01e: ceilings that were measured (MAMF), spread between chips",
			"ai-dynamo/aiconfigurator, commit 095f58a: 0.8 of memory bandwidth, 3.9 GB set aside",
			"Dao, arXiv 2307.08691; Shah et al., arXiv 2407.08608: speed of fused attention by generation",
			"Arnold, arXiv 2509.15940: share of communication, cost of crossing the spine",
			"shapes of models: models.yaml; published speeds: validation.yaml, each with its source",
		},
		Calibration: []string{
			fmt.Sprintf("fitted on the rows marked fit, all at once, none for a row or a GPU: g = %.2f (kept within 0.80 "+
				"to 0.92), "+
				"w = %.0f bytes, n = %.0f, hidden part of tensor-parallel communication %.2f (kept above 0.3), of data-parallel "+
				"%.2f (kept within 0.5 to 0.8), of expert-parallel %.2f (at its upper bound)", p.gemm, p.wide, p.narrow, p.tensor,
				p.data, p.expert),
			fmt.Sprintf("not fitted: a = %.2f (FlashAttention-3 on H100, forward and backward), σ = %.1f %% (1 to 2 %% "+
				"between GPUs), "+
				"launches, input and logging %.0f %% (1 to 3 %%)", p.attention, 100*p.sigma, 100*p.overhead),
			"held-out rows took no part in fitting numbers, but they were seen while the formulas took shape: older attention " +
				"kernels, overlap before 2022, tokens sent once per domain and the split of fit and held rows were settled with " +
				"the errors of all rows in view, so that rows nobody has seen may be off by more",
			"ceilings that nobody measured are the peak × the family's mean, and the plan says so (B300, GB300, L40S, all fp4)",
		},
		Error: errors(),
		Omits: []string{
			"mixtures of experts get their dispatch and host overhead from software that changes fast: the newest containers " +
				"run rack-scale systems up to twice as fast as the model says",
			"hybrid models (Mamba), sliding windows, multi-token prediction, images and video",
			"DualPipe and zero-bubble schedules, uneven stages, offloading, gradient accumulation fusions",
			"power and heat: clocks that fall under load, the difference between systems of one GPU",
			"restarts, evaluation, data stalls: the speed is that of steps, not of a whole training",
		},
	}
	c.Table = Table()
	return c
}

// errors words the error of each group of rows.
func errors() []string {
	var out []string
	for _, g := range []struct {
		name string
		moe  bool
		use  string
	}{
		{"dense models, held out", false, "held"}, {"dense models, fitted on", false, "fit"},
		{"mixtures of experts, held out", true, "held"}, {"mixtures of experts, fitted on", true, "fit"},
	} {
		absolute, signed, n := mean(fitted, func(r *row) bool { return r.moe() == g.moe && r.Use == g.use })
		out = append(out, fmt.Sprintf("%s: mean absolute error %.1f %%, mean error %+.1f %%, %d rows", g.name, 100*absolute,
			100*signed, n))
	}
	return append(out, "memory: the jobs of the table, all of which ran, need 0.3 to 1.25 times their GPUs' memory "+
		"by the model, "+
		"but for three that offload or recompute parts (1.4 to 2.2 times)",
		"placement: no measurement of whole jobs in good and bad places with all particulars was at hand; what collectives "+
			"lose by leaving a node or a leaf is met (see Collectives)")
}

// Table is predicted against published speed for every row, as Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| row | model | GPUs | how | published | predicted | error | use " +
		"|\n|---|---|---|---|---|---|---|---|\n")
	rows := validation().Rows
	for _, moe := range []bool{false, true} {
		for i := range rows {
			r := &rows[i]
			if r.moe() != moe {
				continue
			}
			_, got := r.predict(fitted)
			use := "held out"
			if r.Use == "fit" {
				use = "fitted on"
			}
			fmt.Fprintf(&b, "| %s | %s | %d %s | %s | %s | %s | %+.0f %% | %s |\n", r.ID, r.Model, r.GPUs, r.GPU, r.how(),
				figure(r.Published), figure(got), 100*off(got, r.Published), use)
		}
	}
	b.WriteString("\nTokens per second and GPU. Rows are numbered as far as they are well known; sources, batch " +
		"sizes and " +
		"what was assumed are in\nvalidation.yaml. Not covered: Nemotron-3 (a hybrid), GPT 2B to 462B (shapes and " +
		"parallelism not published together),\nLlama 2 by wall clock (parallelism not published), NeMo Automodel's " +
		"mixtures of experts (likewise).\n")
	return b.String()
}

// figure writes a speed with three digits or as many as it has.
func figure(f float64) string {
	if f < 1000 {
		return fmt.Sprintf("%.0f", f)
	}
	s := fmt.Sprintf("%.0f", f)
	return s[:len(s)-3] + "," + s[len(s)-3:]
}

// how is the parallelism of a row in the usual short form.
func (r *row) how() string {
	var parts []string
	for _, g := range []struct {
		name string
		n    int
	}{{"TP", r.Tensor}, {"PP", r.Pipeline}, {"VP", r.Stages}, {"CP", r.Context}, {"EP", r.Expert}} {
		if g.n > 1 {
			parts = append(parts, fmt.Sprintf("%s%d", g.name, g.n))
		}
	}
	if r.Sharding == "full" {
		parts = append(parts, "FSDP")
	}
	if len(parts) == 0 {
		parts = []string{"DP"}
	}
	parts = append(parts, r.Precision, fmt.Sprintf("%d tokens", r.Sequence))
	if r.Recompute != "none" {
		parts = append(parts, "recompute "+r.Recompute)
	}
	return strings.Join(parts, " ")
}

// Readme is the text of this folder's README.md.
func Readme() string {
	var b strings.Builder
	b.WriteString("# Models of training\n\nWritten by a test (`go test ./sim/model/training -run TestReadme -rewrite`); " +
		"`orrery model show training` prints the same.\n")
	for _, c := range Cards() {
		b.WriteString("\n" + c.Markdown(2))
	}
	return b.String()
}
