package account

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"orrery/sim/result"
)

// NotFoundError says that the journal has no such pod, job or object.
type NotFoundError struct {
	Query   string
	What    string   // kind of object; "" = a pod or a job
	Hint    string   // why, where that is known
	Similar []string // names like it, the likest first
	Others  []string // of the kind, the first ones, when none is like it
}

// Error names what is like the query.
func (e *NotFoundError) Error() string {
	if e.What != "" {
		text := fmt.Sprintf("the journal has nothing on the %s of %q", e.What, e.Query)
		switch {
		case e.Hint != "":
			text += ": " + e.Hint
		case len(e.Similar) > 0:
			text += "; did you mean " + strings.Join(e.Similar, ", ") + "?"
		case len(e.Others) > 0:
			text += "; there are " + strings.Join(e.Others, ", ")
		}
		return text
	}
	if len(e.Similar) == 0 {
		return fmt.Sprintf("the journal has no pod or job %q; write job/NAME or pod/NAMESPACE/NAME as in %s and %s, or "+
			"service/NAME, hpa/NAME, deployment/NAME, node/NAME", e.Query, result.JobsFile, result.PodsFile)
	}
	return fmt.Sprintf("the journal has no pod or job %q; did you mean %s?", e.Query, strings.Join(e.Similar, ", "))
}

// similar keeps the names likest to a wanted one.
type similar struct {
	want  string
	found bool
	best  []candidate // by distance, then name
	first []string    // the first names seen
}

type candidate struct {
	name     string
	distance int
}

// similarMax is how many suggestions an error makes.
const similarMax = 5

// see considers a name, as long as the wanted one has not come.
func (s *similar) see(name string) {
	if s.found {
		return
	}
	if len(s.first) < similarMax && !slices.Contains(s.first, name) {
		s.first = append(s.first, name)
	}
	_, short, ok := strings.Cut(name, "/")
	d := editDistance(s.want, name)
	if ok {
		d = min(d, editDistance(s.want, short))
	}
	s.found = d == 0
	if d > max(3, len(s.want)/2) {
		return
	}
	c := candidate{name, d}
	at, found := slices.BinarySearchFunc(s.best, c, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	if !found && at < similarMax {
		s.best = slices.Insert(s.best, at, c)
		s.best = s.best[:min(len(s.best), similarMax)]
	}
}

// names are the likest ones, each behind a prefix.
func (s *similar) names(prefix string) []string {
	var out []string
	for _, c := range s.best {
		out = append(out, prefix+c.name)
	}
	return out
}

// editDistance is Levenshtein's distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
