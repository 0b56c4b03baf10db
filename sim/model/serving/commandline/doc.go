// Package commandline reads how a container starts an inference server: which engine it is, and what its flags say of
// parallelism, batching, memory and number formats. A service whose Deployment comes from the user's manifests then
// behaves as those say, and a scenario that says otherwise is found out.
//
// Sources of the flags' names and meanings: vLLM, docs.vllm.ai "Engine Arguments" and vllm/engine/arg_utils.py (also
// for whole numbers like 32k = 32,000 and 32K = 32,768); SGLang, python/sglang/srt/server_args.py; TensorRT-LLM,
// tensorrt_llm/commands/serve.py (commit 00209af); TGI, text-generation-launcher (documentation of 3.x; each flag is an
// environment variable, too). Flags are taken with - or _ between words, as vLLM's own parser does.
package commandline
