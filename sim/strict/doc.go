// Package strict decodes YAML files into Go structs and reports every problem at once, each as file:line:column, what
// is wrong and what to write instead. Unknown fields, duplicate keys, empty values, numbers in the place of text and
// values out of range are problems; nothing is dropped and nothing is guessed.
//
// A document is read with Parse, changed with Set (the --set flag), decoded with Decode and checked further by its
// owner with Problemf. Defaults are what the target holds before decoding: an absent field leaves its default, a zero
// written out replaces it.
//
// Struct tags: yaml:"name" names a field and yaml:"-" hides it; required:"true" asks for it (another text
// says when its owner does); enum:"a|b" lists the
// texts allowed; min:"0" and max:"9" bound numbers, and the length of texts and lists. Types with UnmarshalText
// decode themselves from any scalar, and types with DecodeNode from any node.
package strict
