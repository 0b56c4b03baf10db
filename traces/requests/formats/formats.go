// Package formats lists the importers of public request traces. A new one is a folder beside this file and one line in
// All.
package formats

import (
	"orrery/traces/requests"
	"orrery/traces/requests/formats/azure"
	"orrery/traces/requests/formats/burstgpt"
	"orrery/traces/requests/formats/mooncake"
)

// All returns every importer, by name.
func All() []requests.Format {
	return []requests.Format{
		azure.Hour2023,
		azure.Week2024,
		burstgpt.Format{},
		mooncake.Format{},
	}
}

// Options returns the options that open any format, told from the file itself.
func Options() requests.Options { return requests.Options{Formats: All()} }

// Open opens a trace of any format. opts.Formats is set. The error is an *traces.Errors.
func Open(path string, opts requests.Options) (requests.Source, error) {
	opts.Formats = All()
	return requests.Open(path, opts)
}
