package result

import (
	_ "embed" // the schema file
)

//go:embed result.schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of result.json.
func Schema() []byte { return append([]byte(nil), schema...) }
