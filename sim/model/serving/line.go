package serving

import "math"

// Line is an iteration's seconds as a function of decodeContext, everything else given:
//
//	Base + PerToken × decodeContext                                        up to Knee
//	Base + PerToken × Knee + Beyond × (decodeContext - Knee)               after it
//
// Beyond is less than PerToken in models some of whose layers attend to a window; in all others they are equal and
// Knee is math.MaxInt64. Knee is where the sequences fill their windows on average.
type Line struct {
	Base, PerToken, Beyond float64
	Knee                   int64
}

// At is the seconds at a context.
func (l Line) At(decodeContext int64) float64 { return l.Base + l.context(decodeContext) }

func (l Line) context(c int64) float64 {
	if c <= l.Knee {
		return float64(l.PerToken * float64(c))
	}
	return float64(l.PerToken*float64(l.Knee)) + float64(l.Beyond*float64(c-l.Knee))
}

// Sum is the seconds of k iterations whose contexts are first, first + grow, …, first + (k-1) × grow: of k iterations
// in which the same grow sequences decode. It is the sum of At in closed form, equal but for rounding.
func (l Line) Sum(first, grow int64, k int) float64 {
	if k <= 0 {
		return 0
	}
	below := int64(k) // iterations up to the knee
	if last := first + int64(k-1)*grow; last > l.Knee {
		switch {
		case first > l.Knee:
			below = 0
		case grow > 0:
			below = (l.Knee-first)/grow + 1
		}
	}
	t := float64(float64(k) * l.Base)
	if below > 0 {
		t += float64(l.PerToken * arithmetic(first, grow, below))
	}
	if above := int64(k) - below; above > 0 {
		t += float64(l.PerToken * float64(l.Knee) * float64(above))
		t += float64(l.Beyond * arithmetic(first+below*grow-l.Knee, grow, above))
	}
	return t
}

// arithmetic is the sum of n terms of an arithmetic progression.
func arithmetic(first, grow, n int64) float64 {
	return float64(n*first) + float64(float64(grow)*float64(n*(n-1)/2))
}

// Line returns the line for iterations of decodes sequences and prompts as in Seconds.
func (st *Step) Line(decodes, prefillTokens int, prefillAttention int64, prefillSeqs int) Line {
	if decodes+prefillTokens <= 0 {
		return Line{Knee: math.MaxInt64}
	}
	l := st.line(decodes, prefillTokens)
	l.Base = st.base(decodes, prefillTokens, prefillAttention, prefillSeqs).Total()
	if prefillSeqs == 0 {
		l = l.atLeast(float64(decodes) * st.front)
	}
	return l
}

// atLeast is a line that is nowhere below so many seconds, but for less than the time of one token of context. Where
// that would be left before windows are full, which would take a second knee, the line stays as it is.
func (l Line) atLeast(seconds float64) Line {
	from, slope, at := int64(0), l.PerToken, l.Base
	if l.Knee < math.MaxInt64 {
		from, slope, at = l.Knee, l.Beyond, l.At(l.Knee)
	}
	if seconds <= l.Base || seconds <= at || slope <= 0 {
		return l
	}
	more := int64((seconds - at) / slope)
	return Line{Base: at + float64(slope*float64(more)), Beyond: slope, Knee: from + more}
}

// line is the part of a line that depends on context.
func (st *Step) line(decodes, prefillTokens int) Line {
	_, part := st.micro(decodes + prefillTokens)
	part *= st.fullest(decodes)
	full := float64(part * st.contextFull)
	if st.contextWindow == 0 {
		return Line{PerToken: full, Beyond: full, Knee: math.MaxInt64}
	}
	return Line{PerToken: full + float64(part*st.contextWindow), Beyond: full, Knee: int64(float64(decodes) * st.window)}
}
