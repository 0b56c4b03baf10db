package html

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"orrery/reports"
)

// Colours by meaning, told apart with every kind of colour vision: Okabe and Ito's palette (Color Universal Design,
// 2008) for what matters, greys for what is merely there.
var colours = map[reports.Role]string{
	reports.RoleUsed:       "#0072B2",
	reports.RoleFragmented: "#D55E00",
	reports.RoleWaiting:    "#E69F00",
	reports.RoleNoDemand:   "#D9DDE3",
	reports.RoleIdle:       "#E69F00",
	reports.RoleDown:       "#6B7280",
	reports.RoleNodes:      "#9CA3AF",
	reports.RoleCapacity:   "#111827",
	reports.RolePods:       "#D55E00",
	reports.RoleGPUs:       "#D55E00",
	reports.RoleTypical:    "#56B4E9",
	reports.RoleTail:       "#0072B2",
	reports.RoleExtreme:    "#D55E00",
	reports.RoleTarget:     "#009E73",
	reports.RoleBound:      "#111827",
	reports.RoleLost:       "#D55E00",

	reports.RoleGPUCount: "#D55E00",
	reports.RoleNodeKind: "#CC79A7",
	reports.RoleMIG:      "#E69F00",
	reports.RoleCPU:      "#0072B2",
	reports.RoleMemory:   "#56B4E9",
	reports.RolePodLimit: "#F0E442",
	reports.RoleGang:     "#009E73",
	reports.RoleTopology: "#111827",
	reports.RoleOther:    "#B6BDC7",
}

// heatColours go from light to dark evenly, so that they also read in grey: ColorBrewer's YlGnBu (Harrower and Brewer,
// 2003).
var heatColours = []string{"#ffffd9", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#081d58"}

// spec is what report.js needs to draw a chart: ECharts' own option and what JSON cannot say in it, functions.
type spec struct {
	Option map[string]any `json:"option"`
	Kind   string         `json:"kind"`
	XUnit  string         `json:"xUnit"`
	YUnit  string         `json:"yUnit"`
	Time   bool           `json:"time,omitempty"`  // X is a time axis
	Ticks  []float64      `json:"ticks,omitempty"` // time axes: where to put labels
	Legend []string       `json:"legend"`          // names in the order of reading
}

// newFigure makes a chart's option. IDs are fixed by the panel, so that the bytes repeat.
func newFigure(panel string, c reports.Chart) (figure, error) {
	id := "chart-" + panel + "-" + c.ID
	out := spec{Kind: string(c.Kind), XUnit: c.X.Unit, YUnit: c.Y.Unit}
	for _, s := range c.Series {
		out.Legend = append(out.Legend, s.Name)
	}
	height := 300
	switch c.Kind {
	case reports.StackedArea, reports.Line:
		out.Option = timeOption(id, c)
		out.Time, out.Ticks = true, ticks(c.Times, c.X.Unit)
	case reports.HeatMap:
		out.Option = heatOption(id, c)
		out.YUnit = c.Value.Unit
		height = min(max(150+len(c.Rows)*14, 220), 760)
	default:
		out.Option = barOption(id, c)
	}
	js, err := toJSON(out)
	return figure{id, c.Title, height, js}, err
}

// round keeps six significant digits: more than a screen can show, enough for differences of sums.
func round(f float64) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 6, 64), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	return v
}

func common(id string, c reports.Chart) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{ChartID: id}),
		charts.WithAnimation(false),
		charts.WithTitleOpts(opts.Title{Show: opts.Bool(false)}),
		charts.WithAriaOpts(&opts.Aria{Enabled: opts.Bool(true)}),
		charts.WithLegendOpts(opts.Legend{Type: "scroll", Show: opts.Bool(len(c.Series) > 1), Top: "0", Left: "0",
			Icon: "rect"}),
		charts.WithYAxisOpts(opts.YAxis{Type: scale(c), Name: c.Y.Label(), NameLocation: "end"}),
	}
}

// scale is the type of the axis of values.
func scale(c reports.Chart) string {
	if c.Log {
		return "log"
	}
	return "value"
}

// top leaves room for the legend, where there is one, and the name of the axis.
func top(c reports.Chart) string {
	if len(c.Series) > 1 {
		return "58"
	}
	return "34"
}

func grid(top, bottom string) charts.GlobalOpts {
	return charts.WithGridOpts(opts.Grid{Left: "8", Right: "24", Top: top, Bottom: bottom,
		ContainLabel: opts.Bool(true)})
}

// timeOption draws step functions: a value holds from its bin's start to the next one's, so both points are given.
//
// Stacked areas are drawn as sums, the highest first and each over the one before: the library's own stacking leaves
// out steps of less than a pixel, above and below an area differently, which tears the stack apart.
func timeOption(id string, c reports.Chart) map[string]any {
	chart := charts.NewLine()
	x := opts.XAxis{Type: "value", Name: c.X.Label(), NameLocation: "middle", NameGap: 28}
	if n := len(c.Times); n > 0 {
		x.Min, x.Max = round(c.Times[0]), round(c.Times[n-1])
	}
	chart.SetGlobalOptions(append(common(id, c), grid(top(c), "30"), charts.WithXAxisOpts(x),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithDataZoomOpts(opts.DataZoom{Type: "inside", FilterMode: "none"}))...)
	sums := make([]float64, max(0, len(c.Times)-1))
	for _, s := range c.Series {
		line := charts.SingleSeries{Name: s.Name, Type: "line", Symbol: "none",
			ItemStyle: &opts.ItemStyle{Color: colours[s.Role]},
			LineStyle: &opts.LineStyle{Width: 1.6, Color: colours[s.Role]}}
		if s.Role == reports.RoleTarget || s.Role == reports.RoleBound {
			line.LineStyle.Type = "dashed"
		}
		if c.Kind == reports.Line || s.Overlay {
			line.Data = stairs(c.Times, s.Values)
			if c.Log {
				line.Data = gaps(c.Times, s.Values)
			}
			chart.MultiSeries = append(chart.MultiSeries, line)
			continue
		}
		for i, v := range s.Values {
			sums[i] += v
		}
		line.Data, line.LineStyle.Opacity = stairs(c.Times, sums), opts.Float(0)
		line.AreaStyle = &opts.AreaStyle{Color: colours[s.Role], Opacity: opts.Float(1)}
		chart.MultiSeries = append([]charts.SingleSeries{line}, chart.MultiSeries...)
	}
	return chart.JSON()
}

// stairs gives the start and the end of each bin.
func stairs(times, values []float64) [][2]float64 {
	out := make([][2]float64, 0, 2*len(values))
	for i, v := range values {
		out = append(out, [2]float64{round(times[i]), round(v)}, [2]float64{round(times[i+1]), round(v)})
	}
	return out
}

// gaps is stairs for an axis that has no zero: the line breaks there.
func gaps(times, values []float64) [][2]any {
	out := make([][2]any, 0, 2*len(values))
	for _, p := range stairs(times, values) {
		if p[1] > 0 {
			out = append(out, [2]any{p[0], p[1]})
		} else {
			out = append(out, [2]any{p[0], nil})
		}
	}
	return out
}

// labelsMax is the most labels that bars of a histogram get.
const labelsMax = 20

func barOption(id string, c reports.Chart) map[string]any {
	chart := charts.NewBar()
	longest := 0
	for _, s := range c.Categories {
		longest = max(longest, utf8.RuneCountInString(s))
	}
	label := &opts.AxisLabel{Interval: "0", HideOverlap: opts.Bool(true)}
	if n := len(c.Categories); c.Kind == reports.Histogram && n > labelsMax {
		label.Interval = strconv.Itoa((n - 1) / labelsMax)
	}
	bottom, gap := "30", 28
	if longest*len(c.Categories) > 110 { // they would not fit side by side on a page of common width
		label.Rotate = 38
		gap = 14 + min(longest, 26)*5
	}
	chart.SetGlobalOptions(append(common(id, c), grid(top(c), bottom),
		charts.WithXAxisOpts(opts.XAxis{Type: "category", Name: c.X.Label(), NameLocation: "middle", NameGap: gap,
			AxisLabel: label}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}))...)
	names := make([]string, len(c.Categories))
	for i, s := range c.Categories {
		names[i] = clean(s)
	}
	chart.SetXAxis(names)
	for _, s := range c.Series {
		data := make([]float64, len(s.Values))
		for i, v := range s.Values {
			data[i] = round(v)
		}
		bar := charts.SingleSeries{Name: s.Name, Type: "bar", Data: data, BarMaxWidth: "56",
			ItemStyle: &opts.ItemStyle{Color: colours[s.Role]}}
		switch c.Kind {
		case reports.Histogram:
			bar.BarCategoryGap, bar.BarMaxWidth, bar.Stack = "4%", "", "all"
		case reports.StackedBar:
			bar.Stack = "all"
		}
		chart.MultiSeries = append(chart.MultiSeries, bar)
	}
	chart.Validate()
	return chart.JSON()
}

func heatOption(id string, c reports.Chart) map[string]any {
	chart := charts.NewHeatMap()
	rows := make([]string, len(c.Rows))
	for i, s := range c.Rows {
		rows[i] = clean(s)
	}
	chart.SetGlobalOptions(append(common(id, c), grid("64", "30"),
		charts.WithXAxisOpts(opts.XAxis{Type: "category", Name: c.X.Label(), NameLocation: "middle", NameGap: 28,
			Data: c.Categories, AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true)}}),
		charts.WithYAxisOpts(opts.YAxis{Type: "category", Data: rows, Inverse: opts.Bool(true)}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}),
		charts.WithVisualMapOpts(opts.VisualMap{Type: "continuous", Min: 0, Max: 100, Calculable: opts.Bool(true),
			Orient: "horizontal", Top: "0", Left: "0",
			InRange: &opts.VisualMapInRange{Color: heatColours}}))...)
	var data [][3]int
	for y, row := range c.Heat {
		for x, v := range row {
			if v >= 0 {
				data = append(data, [3]int{x, y, int(math.Round(v))})
			}
		}
	}
	chart.MultiSeries = append(chart.MultiSeries, charts.SingleSeries{Name: c.Value.Name, Type: "heatmap", Data: data})
	return chart.JSON()
}

// ticks places at most ten labels at round values of the unit.
func ticks(times []float64, unit string) []float64 {
	if len(times) < 2 {
		return nil
	}
	from, to := times[0], times[len(times)-1]
	steps := []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300}
	switch unit {
	case "h":
		steps = []float64{0.5, 1, 2, 3, 6, 12, 24, 48}
	case "d":
		steps = []float64{0.5, 1, 2, 7, 14, 28, 91, 182, 365, 730, 1825, 3650}
	}
	for _, step := range steps {
		if (to-from)/step > 10 {
			continue
		}
		var out []float64
		for k := math.Ceil(from / step); k*step <= to; k++ {
			out = append(out, round(k*step))
		}
		return out
	}
	return []float64{round(from), round(to)}
}
