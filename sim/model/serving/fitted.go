package serving

// fitted are the global parameters. The card says where each comes from.
var fitted = parameters{
	gemm: 0.90, fp4: 0.56, attention: 0.70, weights: 0.86, cache: 0.90, wide: 8, hide: 0.30, iteration: 0.2e-3,
	layer: 34e-6, expert: 50e-6, sequence: 0.5e-6, skew: 1.8, fp4Card: 1.11, grouped4: 0.60, eager: 760e-6, host: 17e-6,
	grace: 1.75, stream: 25e-6, unhidden: 26e-6, reduce: 12e-6, bareLayer: 36.5e-6,
}
