package serving

// fitted are the global parameters. The card says where each comes from.
var fitted = parameters{
	gemm: 0.85, attention: 0.60, weights: 0.80, cache: 0.80, wide: 60, hide: 0.25, iteration: 1e-3, layer: 20e-6,
	expert: 20e-6, sequence: 3e-6, narrow: 1000, reduce: 6e-6,
}
