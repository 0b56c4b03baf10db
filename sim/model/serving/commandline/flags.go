package commandline

import (
	"fmt"
	"strconv"
	"strings"

	"orrery/sim/plan"
)

// kind is how a flag's value is read.
type kind int

const (
	count        kind = iota // a whole number of at least 1
	fraction                 // more than 0, at most 1
	boolean                  // a switch
	inverse                  // a switch that turns its field off
	sizeOrOff                // a whole number; -1 or 0 turns chunked prefill off
	quantization             // of weights
	kvFormat                 // of the KV cache
	policy                   // of the queue
)

// off is the value of a size that turns its feature off.
const off = "off"

// flag is a flag of an engine.
type flag struct {
	field Field
	kind  kind
}

// engine is how an engine is told things.
type engine struct {
	flags       map[string]flag // by name, without leading dashes, with - between words
	neutral     []string        // beside those of all engines
	environment bool            // each flag is a variable, too
}

// neutral are flags of several engines that change neither speed nor memory, or what a scenario says in its own way.
var neutral = []string{"host", "port", "model", "model-path", "model-id", "tokenizer", "tokenizer-path",
	"served-model-name", "trust-remote-code", "download-dir", "revision", "seed", "random-seed", "api-key",
	"chat-template", "tool-call-parser", "reasoning-parser", "enable-auto-tool-choice", "log-level", "enable-metrics",
	"dist-init-addr",
	"nnodes", "node-rank", "nccl-port", "disable-log-requests", "disable-log-stats", "uvicorn-log-level", "load-format",
	"tokenizer-mode", "config-format", "m", "hostname", "json-output", "otlp-traces-endpoint"}

// engines are the flags of each engine that models know.
var engines = map[string]engine{
	plan.EngineVLLM: {flags: map[string]flag{
		"tensor-parallel-size": {Tensor, count}, "tp": {Tensor, count},
		"pipeline-parallel-size": {Pipeline, count}, "pp": {Pipeline, count},
		"data-parallel-size": {Data, count}, "dp": {Data, count},
		"enable-expert-parallel": {ExpertParallel, boolean},
		"max-num-batched-tokens": {MaxBatchedTokens, count},
		"max-num-seqs":           {MaxSequences, count},
		"max-model-len":          {MaxModelTokens, count},
		"gpu-memory-utilization": {MemoryUtilization, fraction},
		"block-size":             {BlockTokens, count},
		"enable-prefix-caching":  {PrefixCaching, boolean},
		"enable-chunked-prefill": {ChunkedPrefill, boolean},
		"scheduling-policy":      {SchedulePolicy, policy},
		"quantization":           {Precision, quantization}, "q": {Precision, quantization},
		"kv-cache-dtype": {KVPrecision, kvFormat},
	}, neutral: []string{"kv-transfer-config", "distributed-executor-backend", "swap-space", "dtype", "task", "runner",
		"disable-uvicorn-access-log", "enable-log-requests", "allowed-origins", "root-path", "response-role"}},
	plan.EngineSGLang: {flags: map[string]flag{
		"tp": {Tensor, count}, "tp-size": {Tensor, count}, "tensor-parallel-size": {Tensor, count},
		"pp-size": {Pipeline, count}, "pipeline-parallel-size": {Pipeline, count},
		"dp": {Data, count}, "dp-size": {Data, count}, "data-parallel-size": {Data, count},
		"ep": {Expert, count}, "ep-size": {Expert, count}, "expert-parallel-size": {Expert, count},
		"chunked-prefill-size": {MaxBatchedTokens, sizeOrOff},
		"max-running-requests": {MaxSequences, count},
		"context-length":       {MaxModelTokens, count},
		"mem-fraction-static":  {MemoryUtilization, fraction},
		"page-size":            {BlockTokens, count},
		"disable-radix-cache":  {PrefixCaching, inverse},
		"schedule-policy":      {SchedulePolicy, policy},
		"quantization":         {Precision, quantization},
		"kv-cache-dtype":       {KVPrecision, kvFormat},
	}, neutral: []string{"dtype", "disaggregation-mode", "disaggregation-transfer-backend",
		"disaggregation-bootstrap-port", "watchdog-timeout", "skip-server-warmup"}},
	plan.EngineTRTLLM: {flags: map[string]flag{
		"tp-size": {Tensor, count}, "tensor-parallel-size": {Tensor, count},
		"pp-size": {Pipeline, count}, "pipeline-parallel-size": {Pipeline, count},
		"ep-size": {Expert, count}, "moe-expert-parallel-size": {Expert, count},
		"max-batch-size":                    {MaxSequences, count},
		"max-num-tokens":                    {MaxBatchedTokens, count},
		"max-seq-len":                       {MaxModelTokens, count},
		"kv-cache-free-gpu-memory-fraction": {CacheFraction, fraction},
		"free-gpu-memory-fraction":          {CacheFraction, fraction},
		"enable-chunked-prefill":            {ChunkedPrefill, boolean},
		"kv-cache-dtype":                    {KVPrecision, kvFormat},
	}, neutral: []string{"backend", "max-beam-width", "gpus-per-node", "num-postprocess-workers", "custom-tokenizer",
		"metadata-server-config-file", "server-role", "tool-parser", "telemetry", "no-telemetry"}},
	plan.EngineTGI: {environment: true, flags: map[string]flag{
		"num-shard":                {Tensor, count},
		"max-batch-prefill-tokens": {MaxBatchedTokens, count},
		"max-concurrent-requests":  {MaxSequences, count},
		"max-total-tokens":         {MaxModelTokens, count},
		"cuda-memory-fraction":     {MemoryUtilization, fraction},
		"quantize":                 {Precision, quantization},
		"kv-cache-dtype":           {KVPrecision, kvFormat},
	}, neutral: []string{"sharded", "max-input-tokens", "max-input-length", "dtype", "huggingface-hub-cache",
		"weights-cache-override", "master-addr", "master-port", "prometheus-port", "max-client-batch-size",
		"validation-workers", "max-best-of", "max-stop-sequences"}},
}

// value reads a flag's value into its plain form. known is false of values that models do not know; "" means as by
// default.
func (f flag) value(text string) (value string, known bool, err error) {
	switch f.kind {
	case count:
		if f.field == MaxModelTokens && (text == "auto" || text == "-1") { // vLLM: as much as fits
			return "", false, nil
		}
		n, err := wholeNumber(text)
		return strconv.FormatInt(n, 10), true, err
	case sizeOrOff:
		if text == "-1" || text == "0" {
			return off, true, nil
		}
		n, err := wholeNumber(text)
		return strconv.FormatInt(n, 10), true, err
	case fraction:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !(x > 0 && x <= 1) {
			return "", true, fmt.Errorf("want a number above 0 and up to 1")
		}
		return strconv.FormatFloat(x, 'g', -1, 64), true, nil
	case boolean, inverse:
		on, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return "", true, fmt.Errorf("want true or false")
		}
		return strconv.FormatBool(on != (f.kind == inverse)), true, nil
	case policy:
		return text, text == plan.PolicyFCFS || text == plan.PolicyLPM, nil
	case quantization:
		return weights(text)
	default:
		return cache(text)
	}
}

// weights are the formats of weights that models know, by the engines' names of them.
func weights(text string) (string, bool, error) {
	switch strings.ToLower(text) {
	case "", "none":
		return "", true, nil
	case "fp8", "fbgemm_fp8", "modelopt", "modelopt_fp8", "ptpc_fp8", "w8a8_fp8":
		return plan.PrecisionFP8, true, nil
	case "modelopt_fp4", "nvfp4", "mxfp4":
		return plan.PrecisionFP4, true, nil
	}
	return "", false, nil
}

// cache are the formats of KV caches that models know.
func cache(text string) (string, bool, error) {
	switch strings.ToLower(text) {
	case "auto", "":
		return "", true, nil
	case "bfloat16", "bf16", "float16", "fp16":
		return plan.PrecisionHalf, true, nil
	case "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_e4m3fn":
		return plan.PrecisionFP8, true, nil
	}
	return "", false, nil
}

// wholeNumber reads 32768, 32K (1,024 each) and 32k or 1.5k (1,000 each), as vLLM does.
func wholeNumber(text string) (int64, error) {
	wrong := fmt.Errorf("want a whole number of at least 1")
	t, unit := strings.TrimSpace(text), int64(1)
	decimal := false
	if t != "" {
		if i := strings.IndexByte("kmg", t[len(t)-1]); i >= 0 {
			unit, decimal = []int64{1e3, 1e6, 1e9}[i], true
		} else if i := strings.IndexByte("KMG", t[len(t)-1]); i >= 0 {
			unit = int64(1) << (10 * (i + 1))
		}
	}
	if unit > 1 {
		t = t[:len(t)-1]
	}
	n, err := strconv.ParseInt(t, 10, 40)
	if err != nil && decimal {
		x, err := strconv.ParseFloat(t, 64)
		if n = int64(x * float64(unit)); err != nil || !(x > 0 && x < 1e9) || n < 1 {
			return 0, wrong
		}
		return n, nil
	}
	if err != nil || n < 1 || n > (1<<62)/unit {
		return 0, wrong
	}
	return n * unit, nil
}
