package commandline

import (
	"strings"
	"testing"

	"orrery/sim/plan"
)

// said writes what was read, in short.
func said(s Server) string {
	parts := []string{s.Engine}
	for _, x := range s.Settings {
		parts = append(parts, string(x.Field)+"="+x.Value)
	}
	if len(s.Unmodelled) > 0 {
		parts = append(parts, "unmodelled: "+strings.Join(s.Unmodelled, ", "))
	}
	return strings.Join(parts, " ")
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		Container
		want string
	}{
		"vllm as its documentation deploys it": {Container{Image: "vllm/vllm-openai:latest", Command: []string{"/bin/sh", "-c"},
			Args: []string{"vllm serve mistralai/Mistral-7B-Instruct-v0.3 --trust-remote-code --enable-chunked-prefill " +
				"--max_num_batched_tokens 1024"}},
			"vllm chunkedPrefill=true maxBatchedTokens=1024"},
		"the image's own entry point": {Container{Image: "vllm/vllm-openai:v0.20.0", Args: []string{"--model", "m",
			"--tensor-parallel-size=4", "--max-model-len", "32k", "--gpu-memory-utilization", "0.95", "--kv-cache-dtype", "fp8",
			"--no-enable-prefix-caching", "--max-num-seqs=1K"}},
			"vllm tensor=4 maxModelTokens=32000 memoryUtilization=0.95 kvPrecision=fp8 prefixCaching=false maxSequences=1024"},
		"the last of two counts": {Container{Image: "vllm", Args: []string{"--max-num-seqs", "1", "-tp", "2", "--max-num-seqs", "2"}},
			"vllm tensor=2 maxSequences=2"},
		"experts on all GPUs": {Container{Image: "vllm", Args: []string{"--enable-expert-parallel", "-tp", "8"}},
			"vllm expert=8 tensor=8"},
		"experts not on all GPUs": {Container{Image: "vllm", Args: []string{"-tp", "8", "--enable-expert-parallel", "false"}},
			"vllm tensor=8 expert=1"},
		"experts not on all GPUs, in a number": {Container{Image: "vllm", Args: []string{"-tp=8",
			"--enable-expert-parallel=0"}}, "vllm tensor=8 expert=1"},
		"a part of a token": {Container{Image: "vllm", Args: []string{"--max-model-len", "0.0001k"}},
			"! --max-model-len 0.0001k: want a whole number of at least 1"},
		"what only a shell knows": {Container{Command: []string{"sh", "-c", "vllm serve m --max-num-seqs 8 -tp $(nvidia-smi " +
			"-L | wc -l)"}}, "! -tp $(nvidia-smi -L | wc -l): want a whole number of at least 1"},
		"a script that starts nothing that is known": {Container{Image: "vllm", Command: []string{"sh", "-c", "./start.sh"}},
			"vllm unmodelled: those in the container's script, which starts no server in so many words"},
		"what no model knows": {Container{Image: "vllm", Args: []string{"--enforce-eager", "--quantization", "awq", "--port", "80"}},
			"vllm unmodelled: --enforce-eager, --quantization awq"},
		"a script with other commands": {Container{Command: []string{"bash", "-lc"}, Args: []string{
			"set -e\npip install x  # first\nexec python3 -m sglang.launch_server --model-path $MODEL --tp $TP \\\n" +
				"  --chunked-prefill-size -1 --disable-radix-cache --mem-fraction-static 0.8\n"},
			Env: map[string]string{"TP": "2"}},
			"sglang tensor=2 chunkedPrefill=false prefixCaching=false memoryUtilization=0.8"},
		"as much context as fits": {Container{Image: "vllm", Args: []string{"--max-model-len", "auto", "-tp", "2"}},
			"vllm tensor=2 unmodelled: --max-model-len auto"},
		"variables as Kubernetes replaces them": {Container{Image: "x", Command: []string{"trtllm-serve", "m", "--tp_size",
			"$(TP)", "--max_batch_size", "$(UNSET)"}, Env: map[string]string{"TP": "8"}},
			"! --max_batch_size $(UNSET): want a whole number of at least 1"},
		"tensorrt-llm": {Container{Command: []string{"trtllm-serve", "serve", "m", "--pp_size", "2", "--max_num_tokens", "4096",
			"--kv_cache_free_gpu_memory_fraction", "0.85", "--extra_llm_api_options", "/c.yaml"}},
			"tensorrt-llm pipeline=2 maxBatchedTokens=4096 cacheFraction=0.85 unmodelled: --extra-llm-api-options"},
		"tgi by variables and flags": {Container{Image: "ghcr.io/huggingface/text-generation-inference:3.0", Args: []string{
			"--max-total-tokens", "8192"}, Env: map[string]string{"NUM_SHARD": "2", "MAX_TOTAL_TOKENS": "4096", "HF_TOKEN": "x"}},
			"tgi tensor=2 maxModelTokens=8192"},
		"a queue's order": {Container{Command: []string{"python3", "-m", "sglang.launch_server", "--schedule-policy", "lpm"}},
			"sglang schedulePolicy=lpm"},
		"a queue's order that no model knows": {Container{Image: "vllm", Args: []string{"--scheduling-policy=priority"}},
			"vllm unmodelled: --scheduling-policy=priority"},
		"no server at all": {Container{Image: "nginx", Args: []string{"--tp", "2"}}, ""},
		"values that are not": {Container{Image: "vllm", Args: []string{"--max-num-seqs", "0", "--gpu-memory-utilization=1.5", "-tp"}},
			"! --max-num-seqs 0: want a whole number of at least 1; --gpu-memory-utilization=1.5: want a number above 0 and up " +
				"to 1; -tp has no value"},
	} {
		s, err := Read(c.Container)
		got := said(s)
		if err != nil {
			got = "! " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// TestFlagsAreWritten holds that the tables' names can be found: as the reader writes them.
func TestFlagsAreWritten(t *testing.T) {
	for preset, e := range engines {
		for name := range e.flags {
			if strings.ContainsAny(name, "_ =") || name != strings.ToLower(name) || strings.HasPrefix(name, "-") {
				t.Errorf("%s: a word of the command line never becomes %q", preset, name)
			}
		}
	}
	if engineOf([]string{"nvcr.io/nvidia/tensorrt-llm/release:1.0"}) != plan.EngineTRTLLM {
		t.Error("the image of TensorRT-LLM is not known")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("vllm serve x --tp 2 && echo $(A) $$", "vllm")
	f.Add("python -m sglang.launch_server --tp $((1+1)) `x`", "")
	f.Fuzz(func(t *testing.T, script, image string) {
		for _, c := range []Container{{Image: image, Command: []string{"sh", "-c"}, Args: []string{script}},
			{Image: image, Args: strings.Fields(script), Env: map[string]string{"A": script}}} {
			s, err := Read(c)
			for _, x := range s.Settings {
				if err == nil && x.Value == "" {
					t.Errorf("%q says nothing", x.Flag)
				}
			}
		}
	})
}
