package serving

// fitted are the global parameters. The card says where each comes from.
var fitted = parameters{
	gemm: 0.90, fp4: 0.64, attention: 0.70, weights: 0.86, cache: 0.90, wide: 40, hide: 0.33, iteration: 0.35e-3,
	layer: 34e-6, expert: 100e-6, sequence: 2.8e-6, narrow: 1850, reduce: 12e-6, bareLayer: 36.5e-6,
}
