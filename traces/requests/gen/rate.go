package gen

import (
	"math"
	"math/rand/v2"

	"orrery/sim/model/exact"
)

// stepMax is the longest stretch, in seconds, over which a shape that is no straight line is taken for one.
const stepMax = 60

// factor multiplies a rate over time. Times are seconds since the trace's beginning.
type factor interface {
	// end returns the end of the smooth piece that begins at t; it is above t, and +∞ when nothing changes any more. A
	// call's t is not below that of the call before.
	end(t float64) float64
	// at returns the value at x of the piece that begins at t, t ≤ x ≤ end(t).
	at(t, x float64) float64
}

// cycle is weights that repeat.
type cycle struct {
	w      []float64 // mean 1
	slot   float64   // length of one
	start  float64   // time of the cycle at which the trace begins
	smooth bool      // straight lines between the middles of the slots
}

func newCycle(w []float64, slot, start float64, smooth bool) cycle {
	sum := 0.0
	for _, f := range w {
		sum += f
	}
	c := cycle{w: make([]float64, len(w)), slot: slot, start: start, smooth: smooth}
	for i, f := range w {
		c.w[i] = f / sum * float64(len(w))
	}
	if smooth { // slots then begin at the middles
		c.start -= float64(slot / 2)
	}
	return c
}

func (c cycle) index(t float64) float64 { return math.Floor((c.start + float64(t)) / c.slot) }

func (c cycle) end(t float64) float64 {
	end := float64((c.index(t)+1)*c.slot) - c.start
	if !(end > t) { // rounding
		end = float64((c.index(t)+2)*c.slot) - c.start
	}
	return end
}

func (c cycle) at(t, x float64) float64 {
	// The piece is told from its middle, which rounding does not move to another slot.
	k := c.index((t + c.end(t)) / 2)
	n := float64(len(c.w))
	i := int(k - float64(n*math.Floor(k/n)))
	if !c.smooth {
		return c.w[i]
	}
	part := min(max((c.start+x)/c.slot-k, 0), 1)
	return float64(c.w[i]*(1-part)) + float64(c.w[(i+1)%len(c.w)]*part)
}

// points is a polygon.
type points []Point

func (p points) next(t float64) int {
	for i, pt := range p {
		if pt.At.seconds() > t {
			return i
		}
	}
	return len(p)
}

func (p points) end(t float64) float64 {
	if i := p.next(t); i < len(p) {
		return p[i].At.seconds()
	}
	return inf
}

func (p points) at(t, x float64) float64 {
	i := p.next(t)
	switch {
	case i == len(p):
		return p[i-1].Factor
	case i == 0:
		return p[0].Factor
	}
	a, b := p[i-1], p[i]
	part := (x - a.At.seconds()) / (b.At - a.At).seconds()
	return float64(a.Factor*(1-part)) + float64(b.Factor*part)
}

// halves is after how many halvings a flash crowd is over: a millionth of its excess is left.
const halves = 20

// flash is a flash crowd, repeated or not.
type flash struct{ Flash }

// inside returns the time since the beginning of the crowd that t belongs to, negative before the first, and that
// beginning.
func (f flash) inside(t float64) (since, begin float64) {
	begin = f.At.seconds()
	if every := f.Every.seconds(); every > 0 && t >= begin {
		begin += float64(math.Floor((t-begin)/every) * every)
	}
	return t - begin, begin
}

// marks are the instants of a crowd at which it changes its course.
func (f flash) marks() [4]float64 {
	rise, hold := f.Rise.seconds(), f.Hold.seconds()
	top := rise + hold
	return [4]float64{0, rise, top, top + float64(halves*f.Decay.seconds())}
}

func (f flash) end(t float64) float64 {
	since, begin := f.inside(t)
	m := f.marks()
	for i, mark := range m {
		if begin+mark > t {
			end := begin + mark
			if i == 3 { // the decay is no straight line
				end = min(end, t+max(f.Decay.seconds()/32, 1e-3))
			}
			return end
		}
	}
	if f.Every > 0 && since >= 0 {
		return begin + f.Every.seconds()
	}
	return inf
}

func (f flash) at(t, x float64) float64 {
	_, begin := f.inside(t)
	m := f.marks()
	switch since, at := t-begin, x-begin; {
	case since < 0 || since >= m[3]:
		return 1
	case since < m[1]:
		return 1 + float64((f.Factor-1)*min(at/m[1], 1))
	case since < m[2]:
		return f.Factor
	default:
		return 1 + float64((f.Factor-1)*exact.Exp2(-(at-m[2])/f.Decay.seconds()))
	}
}

// modulated is the state of an MMPP as a factor of the rate, mean 1 over time.
type modulated struct {
	states []State
	mean   float64
	rng    *rand.Rand
	now    int
	until  float64
}

func newModulated(states []State, rng *rand.Rand) *modulated {
	m := &modulated{states: states, rng: rng, now: len(states) - 1}
	sum := 0.0
	for _, s := range states {
		m.mean += float64(s.Rate * s.Mean.seconds())
		sum += s.Mean.seconds()
	}
	m.mean /= sum
	return m
}

func (m *modulated) end(t float64) float64 {
	for m.until <= t {
		m.now = (m.now + 1) % len(m.states)
		m.until += max(float64(exponential(m.rng)*m.states[m.now].Mean.seconds()), 1e-6)
	}
	return m.until
}

func (m *modulated) at(float64, float64) float64 { return m.states[m.now].Rate / m.mean }

// clock maps operational time, in which the rate is 1, to the time of the trace. Its rate is a polygon, so that the map
// is exact.
type clock struct {
	rate     float64
	factors  []factor
	t, end   float64 // the current piece of the polygon
	from, to float64 // rates at its ends
	x        float64 // how far time is inside the piece
}

func (c *clock) load(t float64) {
	c.t, c.end, c.x = t, t+stepMax, 0
	for _, f := range c.factors {
		c.end = min(c.end, f.end(t))
	}
	c.from, c.to = c.rate, c.rate
	for _, f := range c.factors {
		c.from *= f.at(t, t)
		c.to *= f.at(t, c.end)
	}
}

// advance moves by an amount of operational time and returns the time of the trace; +∞ beyond limit.
func (c *clock) advance(amount, limit float64) float64 {
	for {
		length := c.end - c.t
		here := c.from
		if length > 0 {
			here = c.from + float64((c.to-c.from)*(c.x/length))
		}
		left := length - c.x
		area := float64((here + c.to) / 2 * left)
		if amount < area || amount == 0 && area > 0 {
			// here·y + slope·y²/2 = amount, solved so that nothing cancels.
			slope := (c.to - c.from) / length
			root := math.Sqrt(max(float64(here*here)+float64(2*slope*amount), 0))
			if amount > 0 {
				c.x = min(c.x+float64(2*amount/(here+root)), length)
			}
			return c.t + c.x
		}
		amount -= area
		if c.end > limit {
			return inf
		}
		c.load(c.end)
	}
}
