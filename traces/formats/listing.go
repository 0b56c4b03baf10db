package formats

import "orrery/traces"

// Table returns the Markdown table of all formats that the documentation shows.
func Table() string { return traces.FormatTable(All()) }
