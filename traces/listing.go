package traces

import (
	"fmt"
	"strings"
)

// FormatTable returns a Markdown table of formats for the documentation.
func FormatTable[F Detector](formats []F) string {
	var b strings.Builder
	b.WriteString("| format | reads | options | licence of the data | source |\n|---|---|---|---|---|\n")
	for _, f := range formats {
		info := f.Info()
		var options []string
		for _, o := range info.Options {
			text := "`" + o.Key + "`"
			if len(o.Values) > 0 {
				text += fmt.Sprintf(" = %s (default %s)", strings.Join(o.Values, ", "), o.Default)
			}
			options = append(options, text+": "+o.Meaning)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", info.Name, info.Summary, strings.Join(options, "; "), info.Licence,
			info.Citation)
	}
	return b.String()
}
