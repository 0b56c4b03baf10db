package serving

import (
	"fmt"
	"math"
	"strings"

	"orrery/sim/plan"
)

// Presets lists the engines that Preset knows.
func Presets() []string {
	return []string{plan.EngineVLLM, plan.EngineSGLang, plan.EngineTRTLLM, plan.EngineTGI}
}

// What engines set by default. MiB and GiB of a GPU's memory.
const (
	// vLLM, vllm/engine/arg_utils.py, EngineArgs.get_batch_defaults for an API server (main, read 2026-08): GPUs with 70
	// GiB or more, but for A100, get the larger budget. Memory 0.9, blocks of 16 tokens: vllm/config/cache.py.
	vllmLargeGiB                     = 70
	vllmTokensLarge, vllmTokensSmall = 8192, 2048
	vllmSeqsLarge, vllmSeqsSmall     = 1024, 256
	vllmUtilization, vllmBlock       = 0.9, 16
	// SGLang, python/sglang/srt/server_args.py (main, read 2026-08): reserved memory is 512 MiB, 1.5 MiB for each token of
	// a chunk of at least 2048 and 2 MiB for each sequence in CUDA graphs, but 10 GiB at least on GPUs with more than 60;
	// pages of one token. Its limit on running requests is at least 2048 (model_runner.py), which memory undercuts.
	sglangFixedMiB, sglangTokenMiB, sglangGraphMiB, sglangLeastChunk = 512, 1.5, 2, 2048
	sglangLargeMiB, sglangLargeReserveMiB                            = 60 * 1024, 10 * 1024
	sglangSeqs, sglangBlock                                          = 2048, 1
	// TensorRT-LLM, tensorrt_llm/llmapi/llm_args.py (1.0): max_batch_size 2048, max_num_tokens 8192, KV cache 0.9 of the
	// memory that is free after loading, 32 tokens a block; capacity scheduler GUARANTEED_NO_EVICT (documentation,
	// "Useful Runtime Options").
	trtllmSeqs, trtllmTokens, trtllmBlock, trtllmFree = 2048, 8192, 32, 0.9
	// TGI, text-generation-launcher (documentation of 3.x, where it does not size it from the model): 4096 tokens in a
	// prefill batch, 128 concurrent requests; 0.95 of free memory for the cache (server, TGI_WIGGLE_ROOM); a request is
	// admitted with all blocks that it may need; blocks of one token with FlashInfer.
	tgiTokens, tgiSeqs, tgiBlock, tgiFree = 4096, 128, 1, 0.95
)

// sglangChunks are SGLang's chunk and the largest batch of its CUDA graphs on one to three GPUs by the GPU's memory in
// MiB (server_args.py as above).
var sglangChunks = []struct {
	below         float64
	chunk, graphs int
}{
	{20 * 1024, 2048, 8}, {35 * 1024, 2048, 24}, {60 * 1024, 4096, 32}, {90 * 1024, 8192, 256}, {160 * 1024, 8192, 256},
	{math.Inf(1), 16384, 512},
}

// contextGiB is the CUDA context and the communication library's buffers: aiconfigurator (commit 095f58a) sets 0.36 to
// 0.41 GB aside for the latter; that the former is about as much is an assumption.
const contextGiB = 0.8

// defaultContext stands in for the context of a model that does not say its own: that of Llama 3 (8192).
const defaultContext = 8192

// Preset returns the engine of a name as it starts by default on a device, for a model in half precision with a KV
// cache in half precision. A caller changes what it wants different. The error suggests names.
//
// A server holds its model's whole context; vLLM refuses to start when the KV cache cannot hold one request of it.
func Preset(name string, model *plan.Model, acc plan.Accelerator) (plan.Engine, error) {
	e := plan.Engine{Preset: name, Model: model, Precision: plan.PrecisionHalf, KVBytes: halfBytes, PrefixCaching: true,
		ChunkedPrefill: true, MaxModelTokens: defaultContext}
	if model == nil {
		return e, fmt.Errorf("preset %s needs a model", name)
	}
	if model.Context > 0 {
		e.MaxModelTokens = model.Context
	}
	switch name {
	case plan.EngineVLLM:
		e.MemoryUtilization, e.BlockTokens, e.Evict = vllmUtilization, vllmBlock, plan.EvictRecompute
		e.MaxBatchedTokens, e.MaxSequences = vllmTokensSmall, vllmSeqsSmall
		if acc.MemoryMiB >= vllmLargeGiB*1024 && !strings.HasPrefix(acc.GPU, "a100") {
			e.MaxBatchedTokens, e.MaxSequences = vllmTokensLarge, vllmSeqsLarge
		}
		e.ReserveGiB = reserve(e)
	case plan.EngineSGLang:
		e.BlockTokens, e.Evict, e.MaxSequences = sglangBlock, plan.EvictRecompute, sglangSeqs
		graphs := 0
		for _, c := range sglangChunks {
			if acc.MemoryMiB < c.below {
				e.MaxBatchedTokens, graphs = c.chunk, c.graphs
				break
			}
		}
		kept := sglangFixedMiB + float64(sglangTokenMiB*math.Max(float64(e.MaxBatchedTokens), sglangLeastChunk)) +
			float64(sglangGraphMiB*float64(graphs))
		if acc.MemoryMiB > sglangLargeMiB {
			kept = math.Max(kept, sglangLargeReserveMiB)
		}
		e.MemoryUtilization = math.Max(acc.MemoryMiB-kept, 0) / math.Max(acc.MemoryMiB, 1)
	case plan.EngineTRTLLM:
		e.MemoryUtilization, e.CacheFraction, e.BlockTokens, e.Evict = 1, trtllmFree, trtllmBlock, plan.EvictNone
		e.MaxBatchedTokens, e.MaxSequences = trtllmTokens, trtllmSeqs
		e.ReserveGiB = reserve(e)
	case plan.EngineTGI:
		e.MemoryUtilization, e.CacheFraction, e.BlockTokens, e.Evict = 1, tgiFree, tgiBlock, plan.EvictNone
		e.MaxBatchedTokens, e.MaxSequences, e.ChunkedPrefill = tgiTokens, tgiSeqs, false
		e.ReserveGiB = reserve(e)
	default:
		return e, fmt.Errorf("no engine preset %q; there are %s, and %s for classic models", name,
			strings.Join(Presets(), ", "), plan.EngineBatch)
	}
	return e, nil
}

// Working memory, bytes: an iteration's activations are taken to be at most so many values of the hidden size for each
// token, as queries, keys, values and the two halves of a gated feed-forward network are alive at once, in half
// precision; or the logits in fp32 and their softmax for each sequence. An assumption: servers measure it at start.
const (
	activationValues = 14
	logitBytes       = 8
)

// reserve is what an engine's GPU loses to context, communication buffers and activations.
func reserve(e plan.Engine) float64 {
	m := e.Model
	activations := float64(float64(e.MaxBatchedTokens)*float64(m.Hidden)) * halfBytes * activationValues
	logits := float64(e.MaxSequences) * float64(m.Vocabulary) * logitBytes
	return contextGiB + float64(math.Max(activations, logits)/gib)
}
