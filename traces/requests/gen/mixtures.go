package gen

import (
	"maps"
	"slices"
)

// mixture is a preset of several streams: the clients of a service.
type mixture struct {
	rate    float64 // mean requests per second of all together
	streams []Stream
	source  string
}

// client is a stream of a mixture: its part of the requests, their burstiness, rate by hour, and lengths.
func client(tenant string, weight, cv float64, hours []float64, input, output Tokens) Stream {
	return Stream{Tenant: tenant, Weight: weight, Arrival: &Arrival{Process: Gamma, CV: cv},
		Shape: []Shape{{HourOfDay: hours}}, Lengths: &Lengths{Input: input, Output: output}}
}

// mixtures. A service is what its clients make of it: a few of them bring most requests, each with lengths, bursts and
// hours of its own, and the lengths of all together change when one of them comes or goes (Xiang et al., ServeGen,
// arXiv 2505.09999).
//
// servegen-r1 was measured on the published files of ServeGen for one day of DeepSeek-R1 (73 clients, 16.0
// requests a second; github.com/alibaba/ServeGen, commit f891d11): the ten clients with most requests, and the
// other 63 as one. Weights are their parts of the requests; hours their mean rates in requests a second, from the
// beginning of the file, whose time of day is not known; cv the median over its windows of ten minutes, weighted
// by their requests; quantiles those of its histograms of six hours, weighted likewise. Outputs have their
// reasoning in them. Left out: how lengths change over the day, and how input and output belong together, which
// the files do not say. Where the files give Weibull gaps, they are gamma gaps of the same cv here. A longer trace
// repeats the day.
var mixtures = map[string]mixture{
	"servegen-r1": {rate: 16.01, source: "servegen-r1: Xiang et al., ServeGen, NSDI 2026 (alibaba/ServeGen, deepseek-r1)",
		streams: []Stream{
			client("client-35", 0.2859, 0.80, []float64{
				10.87, 11.51, 11.06, 11.11, 11.51, 9.37, 7.73, 6.09, 6.74, 4.93, 6.66, 6.97, 2.62, 0.01, 0.18,
				0.42, 0.01, 0.9, 0.32, 0.1, 0.07, 0.41, 0.28, 0.01},
				table(4, 9, 11, 13, 17, 37, 85, 180, 371, 1493, 11092),
				table(26, 319, 505, 663, 1081, 1586, 3355, 5811, 7705, 12446, 32768)),
			client("client-48", 0.0786, 1.00, []float64{
				3.68, 4.99, 3.66, 0.79, 0, 0, 0, 0, 0, 2.15, 1.48, 0.94, 0.16, 2.84, 3.93, 3.6, 1.97, 0, 0, 0,
				0, 0, 0, 0},
				table(246, 254, 258, 260, 264, 274, 412, 437, 461, 570, 874),
				table(71, 183, 246, 282, 361, 466, 600, 931, 1322, 2427, 10185)),
			client("client-3", 0.0668, 1.03, []float64{
				0, 0.39, 13.06, 12.23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
				table(23, 24, 25, 26, 28, 206, 210, 214, 216, 222, 240),
				table(167, 310, 359, 387, 445, 1207, 1437, 1587, 1674, 1836, 32768)),
			client("client-13", 0.0492, 1.52, []float64{
				0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5.81, 11.71, 1.4},
				table(23, 24, 25, 26, 28, 202, 208, 210, 214, 218, 230),
				table(162, 310, 360, 389, 450, 1220, 1451, 1605, 1697, 1871, 32768)),
			client("client-12", 0.0442, 1.01, []float64{
				0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.02, 0.2, 1.93, 6.79, 8.05, 0},
				table(4, 266, 285, 349, 420, 503, 626, 807, 962, 1392, 4329),
				table(62, 112, 171, 199, 251, 321, 404, 507, 616, 1473, 7465)),
			client("client-54", 0.0406, 1.87, []float64{
				0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.05, 0.31, 0.97, 1, 0.01, 1.18, 0.01, 1.84, 0, 6.5, 2.03,
				1.25, 0.45},
				table(40, 151, 157, 161, 202, 360, 420, 670, 815, 966, 2206),
				table(45, 103, 149, 197, 306, 404, 486, 568, 627, 780, 1024)),
			client("client-30", 0.0347, 1.03, []float64{
				0.32, 0.26, 0.11, 0.01, 0.01, 0.01, 0.01, 0.01, 0.03, 0.27, 0.98, 0.84, 0.28, 0.33, 0.72, 0.73,
				0.83, 0.86, 0.77, 1.41, 1.48, 1.12, 1.21, 0.73},
				table(4, 7, 10, 11, 132, 824, 3120, 8993, 12182, 16819, 57284),
				table(26, 167, 246, 323, 574, 912, 1358, 1842, 2219, 4192, 32768)),
			client("client-66", 0.0298, 1.26, []float64{
				0.473, 0.512, 0.477, 0.499, 0.482, 0.509, 0.506, 0.408, 0.502, 0.505, 0.477, 0.456, 0.436,
				0.502, 0.499, 0.463, 0.492, 0.512, 0.507, 0.438, 0.357, 0.525, 0.525, 0.392},
				table(12, 19, 26, 31, 43, 62, 91, 130, 164, 272, 1609),
				table(200, 1330, 2105, 2730, 4198, 7099, 11829, 16453, 18908, 22952, 32768)),
			client("client-15", 0.0239, 1.03, []float64{
				0.438, 0.466, 0.458, 0.449, 0.459, 0.466, 0.478, 0.481, 0.255, 0.199, 0.253, 0.162, 0.18,
				0.359, 0.386, 0.41, 0.381, 0.406, 0.456, 0.38, 0.424, 0.413, 0.415, 0.413},
				table(2408, 4544, 6598, 8138, 11044, 15439, 20420, 25028, 27766, 33569, 48734),
				table(365, 605, 718, 786, 918, 1134, 1551, 2140, 2656, 3886, 4096)),
			client("client-28", 0.0236, 1.11, []float64{
				0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.01, 0.04, 0, 0, 0.03, 0.01, 0.03, 0.02, 0, 0.01, 0.02, 1.63,
				5.76, 1.52},
				table(8, 318, 342, 355, 381, 431, 716, 1601, 2445, 5540, 54997),
				table(53, 379, 448, 478, 527, 585, 649, 719, 769, 924, 4096)),
			client("others", 0.3227, 1.03, []float64{
				3.52, 4.12, 3.76, 3.56, 4.59, 4.19, 3.28, 2.25, 2.01, 2.58, 3.12, 3.84, 3.17, 3.7, 4.21, 5.62,
				9.17, 6.16, 8.07, 6.86, 9.08, 7.23, 5.94, 14},
				table(4, 7, 18, 37, 111, 364, 1263, 4622, 9416, 29027, 56957),
				table(9, 115, 178, 223, 332, 536, 951, 1453, 1766, 4034, 32768)),
		}},
}

// clients returns the streams of a mixture with a rate each; what a spec says itself holds for all of them.
func (m *mixture) clients(spec Stream) []Stream {
	rate, weights := spec.RatePerSecond, 0.0
	if rate == 0 {
		rate = m.rate
	}
	for _, st := range m.streams {
		weights += st.Weight
	}
	out := make([]Stream, len(m.streams))
	for i, st := range m.streams {
		out[i] = spec.over(st).over(fallback)
		out[i].Tenant, out[i].RatePerSecond = st.Tenant, rate*(st.Weight/weights)
	}
	return out
}

// PresetNames returns the names of the presets in order.
func PresetNames() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(presets)), slices.Collect(maps.Keys(mixtures))...)))
}
