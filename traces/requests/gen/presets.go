package gen

// preset is what a published trace looks like, as a stream, and where that comes from.
type preset struct {
	stream Stream
	source string
}

// at are the shares of the quantile tables below.
var at = []float64{0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1}

func table(tokens ...float64) Tokens {
	var t Tokens
	for i, n := range tokens {
		t.Quantiles = append(t.Quantiles, Quantile{At: at[i], Tokens: n})
	}
	return t
}

// presets. Quantiles, rates, CVs and correlations of azure and mooncake were measured on the published files: Azure's
// code.csv as a whole (8,819 requests), the first 40 minutes of its conv.csv (14,176 requests), Mooncake's
// conversation_trace.jsonl (12,031 requests, gaps after its times, multiples of 3 s, were spread). Correlations below
// 0.1 in absolute value were left out. Mooncake's lengths are those of whole prompts: the blocks that its
// prompts share are not in the preset; replay the trace for them.
var presets = map[string]preset{
	"azure-code": {Stream{RatePerSecond: 2.57, Arrival: &Arrival{Process: Gamma, CV: 13.2}, Lengths: &Lengths{
		Input:  table(3, 17, 75, 147, 578, 1469, 2745, 5194, 7315, 7436, 7437),
		Output: table(6, 6, 6, 7, 9, 13, 24, 55, 90, 252, 1899)}},
		"azure-code: Patel et al., Splitwise, ISCA 2024 (Azure/AzurePublicDataset, AzureLLMInferenceTrace_code.csv)"},
	"azure-conv": {Stream{RatePerSecond: 5.53, Arrival: &Arrival{Process: Gamma, CV: 1.09}, Lengths: &Lengths{
		Input:  table(2, 31, 181, 220, 396, 1015, 1204, 4074, 4085, 4122, 14050),
		Output: table(7, 16, 39, 50, 81, 115, 393, 421, 448, 598, 1000)}},
		"azure-conv: Patel et al., Splitwise, ISCA 2024 (Azure/AzurePublicDataset, AzureLLMInferenceTrace_conv.csv)"},
	"mooncake": {Stream{RatePerSecond: 3.4, Arrival: &Arrival{Process: Poisson}, Lengths: &Lengths{
		Input:  table(891, 894, 901, 964, 2306, 6909, 15368, 27367, 39552, 85401, 126195),
		Output: table(1, 3, 10, 24, 156, 350, 472, 597, 698, 1120, 2000)}},
		"mooncake: Qin et al., Mooncake, USENIX FAST 2025 (kvcache-ai/Mooncake, conversation_trace.jsonl)"},
	// BurstGPT_1 has 1,429,737 requests in 61 days and 1,049,263,050 tokens, 734 a request; the hours are its mean
	// requests per hour of the day. Assumed, for the file itself was not at hand: lognormal lengths, of which the input
	// has the median of the first rows that its publisher shows, and the sum has the mean of 734.
	"burstgpt": {Stream{RatePerSecond: 0.271, Arrival: &Arrival{Process: Poisson}, Shape: []Shape{{HourOfDay: []float64{
		940.3, 892.6, 571.6, 513.0, 368.2, 341.5, 193.8, 153.3, 177.7, 415.9, 878.8, 1286.5, 1744.3, 1501.1, 1795.9, 1401.1,
		1475.5, 1355.8, 1181.2, 1567.6, 1352.8, 1175.0, 1129.0, 1025.8}}}, Lengths: &Lengths{
		Input: Tokens{Median: 400, P99: 2600, Max: 31400}, Output: Tokens{Median: 140, P99: 790, Max: 12500}}},
		"burstgpt: Wang et al., BurstGPT, KDD 2025 (HPMLL/BurstGPT), totals and hours of the day; " +
			"the lengths' form is assumed"},
	// Kwon et al., SOSP 2023, figure 11: ShareGPT has prompts of 161.31 and answers of 337.99 tokens on average. Assumed:
	// lognormal, with a ratio of p99 to median of 15 and 8, and the context of 2,048 tokens with which it was measured.
	"sharegpt": {Stream{RatePerSecond: 1, Arrival: &Arrival{Process: Poisson}, Lengths: &Lengths{
		Input: Tokens{Median: 88, P99: 1320, Max: 1024}, Output: Tokens{Median: 250, P99: 2000, Max: 1024}}},
		"sharegpt: mean lengths of Kwon et al., PagedAttention, SOSP 2023, figure 11; the lengths' form is assumed"},
}
