package scenarios

import (
	"fmt"
	"strings"
)

// namer turns names of a trace into DNS-1123 labels, each of them once.
type namer struct {
	max   int // longest name
	taken map[string]int
}

func newNamer(most int, taken ...string) *namer {
	n := &namer{max: most, taken: map[string]int{}}
	for _, t := range taken {
		n.taken[t] = 1
	}
	return n
}

// name returns a label close to text that was not returned before: lower case, everything else than letters and digits
// turned into dashes, cut to length; a name met before gets a number behind it.
func (n *namer) name(text string) string {
	base := label(text, n.max)
	if n.taken[base] == 0 {
		n.taken[base] = 1
		return base
	}
	for {
		n.taken[base]++
		suffix := fmt.Sprintf("-%d", n.taken[base])
		name := strings.TrimRight(base[:min(len(base), n.max-len(suffix))], "-") + suffix
		if n.taken[name] == 0 {
			n.taken[name] = 1
			return name
		}
	}
}

// label turns text into a DNS-1123 label of at most most characters.
func label(text string, most int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if b.Len() == most {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && s[len(s)-1] != '-' {
			b.WriteByte('-')
		}
	}
	if s := strings.TrimRight(b.String(), "-"); s != "" {
		return s
	}
	return "x"
}
