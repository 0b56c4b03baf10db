package commandline

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"orrery/sim/plan"
)

// Container is what is read of a container.
type Container struct {
	Image         string
	Command, Args []string
	Env           map[string]string // variables with a value of their own
}

// Server is an inference server as a container starts it.
type Server struct {
	// Engine is the preset's name (plan.EngineVLLM, …); "" = the container starts none that is known.
	Engine string
	// Settings are what its flags say, in the order in which they stand; of a flag that is there twice the last counts.
	Settings []Setting
	// Unmodelled are flags, as written, that would change how fast the server is or how much it holds, and which no model
	// knows, in order.
	Unmodelled []string
}

// Setting is what a flag says.
type Setting struct {
	Field Field
	// Value in plain form: a whole number, a fraction, true or false, or a number format (plan.PrecisionFP8, …).
	Value string
	Flag  string // as written, e.g. --max-num-seqs=128
}

// Field is what a flag is about.
type Field string

// The fields.
const (
	Tensor            Field = "tensor"            // GPUs that share each layer
	Pipeline          Field = "pipeline"          // stages of layers
	Data              Field = "data"              // copies of the model inside one server
	Expert            Field = "expert"            // GPUs that share the experts
	ExpertParallel    Field = "expertParallel"    // true: all GPUs share the experts
	MaxBatchedTokens  Field = "maxBatchedTokens"  // of one iteration
	MaxSequences      Field = "maxSequences"      // in one iteration
	MaxModelTokens    Field = "maxModelTokens"    // of a request
	MemoryUtilization Field = "memoryUtilization" // of a GPU's memory, weights included
	CacheFraction     Field = "cacheFraction"     // of the memory that weights leave
	BlockTokens       Field = "blockTokens"       // of a block of the KV cache
	PrefixCaching     Field = "prefixCaching"
	ChunkedPrefill    Field = "chunkedPrefill"
	SchedulePolicy    Field = "schedulePolicy"
	Precision         Field = "precision"
	KVPrecision       Field = "kvPrecision"
)

// Read finds the server that a container starts. The error lists every flag with a value that cannot be read. A
// container whose image and words name no known server has an empty Engine.
func Read(c Container) (Server, error) {
	words := expandAll(slices.Concat(c.Command, c.Args), c.Env)
	script, ok := shell(words)
	s := Server{Engine: engineOf(words)}
	if ok {
		words = inScript(script, c.Env)
		if found := engineOf(words); found != "" {
			s.Engine = found
		}
	}
	if s.Engine == "" {
		s.Engine = engineOf([]string{c.Image})
	}
	e, ok := engines[s.Engine]
	if !ok {
		return s, nil
	}
	r := reader{engine: e, server: &s}
	if e.environment {
		r.variables(c.Env)
	}
	if r.words(words); ok && words == nil {
		s.Unmodelled = append(s.Unmodelled, "those in the container's script, which starts no server in so many words")
	}
	r.settle()
	if len(r.problems) > 0 {
		return s, fmt.Errorf("%s", strings.Join(r.problems, "; "))
	}
	return s, nil
}

// expandAll replaces $(NAME) as Kubernetes does in commands and arguments: unknown names stay as they are, $$ is $.
func expandAll(words []string, env map[string]string) []string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		var b strings.Builder
		for i := 0; i < len(w); i++ {
			rest := w[i:]
			end := strings.IndexByte(rest, ')')
			switch {
			case strings.HasPrefix(rest, "$$"):
				b.WriteByte('$')
				i++
			case strings.HasPrefix(rest, "$(") && end > 0:
				if v, ok := env[rest[2:end]]; ok {
					b.WriteString(v)
				} else {
					b.WriteString(rest[:end+1])
				}
				i += end
			default:
				b.WriteByte(w[i])
			}
		}
		out = append(out, b.String())
	}
	return out
}

// shell returns the script that the words hand to a shell.
func shell(words []string) (script string, ok bool) {
	if len(words) < 3 {
		return "", false
	}
	name := words[0][strings.LastIndexByte(words[0], '/')+1:]
	if !slices.Contains([]string{"sh", "bash", "ash", "dash", "zsh"}, name) {
		return "", false
	}
	for i, w := range words[1 : len(words)-1] {
		if strings.HasPrefix(w, "-") && strings.HasSuffix(w, "c") { // -c, -lc, -ec
			return words[i+2], true
		}
	}
	return "", false
}

// inScript returns the words of the command in a script that starts a server; nil = none does. A word that only a shell
// can expand, such as $(nvidia-smi -L | wc -l), stays as it is written.
func inScript(script string, env map[string]string) (words []string) {
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	cfg := &expand.Config{Env: expand.FuncEnviron(func(name string) string { return env[name] }), NoUnset: false}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || words != nil {
			return words == nil
		}
		var fields []string
		for _, word := range call.Args {
			expanded, err := expand.Fields(cfg, word)
			if err != nil {
				expanded = []string{script[word.Pos().Offset():word.End().Offset()]}
			}
			fields = append(fields, expanded...)
		}
		if engineOf(fields) != "" {
			words = fields
		}
		return true
	})
	return words
}

// engineOf tells the engine from the words that start it, or from an image's name.
func engineOf(words []string) string {
	for _, w := range words {
		w = strings.ToLower(w)
		for _, name := range []struct{ part, engine string }{
			{"text-generation-inference", plan.EngineTGI}, {"text-generation-launcher", plan.EngineTGI},
			{"trtllm", plan.EngineTRTLLM}, {"tensorrt-llm", plan.EngineTRTLLM}, {"tensorrt_llm", plan.EngineTRTLLM},
			{"sglang", plan.EngineSGLang}, {"vllm", plan.EngineVLLM},
		} {
			if !strings.HasPrefix(w, "-") && strings.Contains(w, name.part) {
				return name.engine
			}
		}
	}
	return ""
}

// reader gathers what flags say.
type reader struct {
	engine   engine
	server   *Server
	problems []string
}

// variables reads flags that are given as variables, in the order of their names.
func (r *reader) variables(env map[string]string) {
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if f, ok := r.engine.flags[strings.ReplaceAll(strings.ToLower(name), "_", "-")]; ok {
			r.take(f, env[name], name+"="+env[name])
		}
	}
}

// words reads flags: --name value, --name=value, -x value, --switch and --no-switch.
func (r *reader) words(words []string) {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "-") || word == "-" || isNumber(word) {
			continue
		}
		name, value, has := strings.Cut(word, "=")
		name = strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-")
		f, known := r.engine.flags[name]
		negated := false
		if positive, no := strings.CutPrefix(name, "no-"); no && !known {
			f, known = r.engine.flags[positive]
			negated = known
		}
		next := i+1 < len(words) && (!strings.HasPrefix(words[i+1], "-") || isNumber(words[i+1]))
		switch {
		case !known:
			if !slices.Contains(r.engine.neutral, name) && !slices.Contains(neutral, name) {
				r.server.Unmodelled = append(r.server.Unmodelled, "--"+name)
			}
			continue
		case (f.kind == boolean || f.kind == inverse) && (negated || !has):
			value = "true"
			if negated {
				value = "false"
			} else if next && (words[i+1] == "true" || words[i+1] == "false") {
				i++
				value = words[i]
				word += " " + value
			}
		case !has && !next:
			r.problems = append(r.problems, word+" has no value")
			continue
		case !has:
			i++
			value = words[i]
			word += " " + value
		}
		r.take(f, value, word)
	}
}

func isNumber(word string) bool {
	return len(word) > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9'
}

// take notes what a flag says.
func (r *reader) take(f flag, text, written string) {
	value, known, err := f.value(text)
	switch {
	case err != nil:
		r.problems = append(r.problems, fmt.Sprintf("%s: %v", written, err))
		return
	case !known:
		r.server.Unmodelled = append(r.server.Unmodelled, written)
		return
	case value == "":
		return // as by default
	}
	if value == off {
		f.field, value = ChunkedPrefill, "false"
	}
	r.server.Settings = slices.DeleteFunc(r.server.Settings, func(s Setting) bool { return s.Field == f.field })
	r.server.Settings = append(r.server.Settings, Setting{Field: f.field, Value: value, Flag: written})
}

// settle turns "all GPUs share the experts" into how many these are.
func (r *reader) settle() {
	value := func(f Field) string {
		for _, s := range r.server.Settings {
			if s.Field == f {
				return s.Value
			}
		}
		return ""
	}
	for i := range r.server.Settings {
		if s := &r.server.Settings[i]; s.Field == ExpertParallel {
			s.Field = Expert
			all := s.Value == "true"
			if s.Value = value(Tensor); s.Value == "" || !all {
				s.Value = "1"
			}
			return
		}
	}
}
