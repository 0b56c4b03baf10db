package training

// fitted are the global parameters. The card says where each comes from.
var fitted = parameters{
	gemm: 0.85, gemmMoE: 0.6, attention: 0.6, wide: 300, tensor: 0.3, data: 0.8, expert: 0.3, sigma: 0.015,
	overhead: 0.02,
}
