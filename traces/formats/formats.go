// Package formats lists the importers of public job traces. A new one is a folder beside this file and one line in All.
package formats

import (
	"orrery/traces"
	"orrery/traces/formats/acme"
	"orrery/traces/formats/helios"
	"orrery/traces/formats/openb"
	"orrery/traces/formats/philly"
	"orrery/traces/formats/phillyjson"
)

// All returns every importer, by name.
func All() []traces.Format {
	return []traces.Format{
		acme.Format{},
		helios.Format{},
		openb.Format{},
		philly.Format{},
		phillyjson.Format{},
	}
}

// Options returns the options that open any format, told from the file itself.
func Options() traces.Options { return traces.Options{Formats: All()} }

// Open opens a trace of any format. opts.Formats is set. The error is an *traces.Errors.
func Open(path string, opts traces.Options) (traces.Source, error) {
	opts.Formats = All()
	return traces.Open(path, opts)
}
