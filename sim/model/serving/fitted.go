package serving

// fitted are the global parameters. The card says where each comes from.
var fitted = parameters{
	gemm: 0.90, fp4: 0.57, attention: 0.70, weights: 0.86, cache: 0.90, wide: 8, hide: 0.30, iteration: 0.77e-3,
	layer: 34e-6, expert: 40e-6, sequence: 0.5e-6, skew: 1.85, fp4Card: 1.12, grouped4: 0.59, eager: 760e-6, host: 17e-6,
	grace: 1.75, stream: 65e-6, unhidden: 22e-6, reduce: 12e-6, bareLayer: 36.5e-6,
}
