package recipe

import (
	"bytes"
	"encoding/json"
)

// Schema returns the JSON Schema of recipes (draft 2020-12), which editors
// take. What it allows the decoder takes, and the other way round.
func Schema() []byte {
	s := objectSchema(fields())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "cdb.yaml"
	s["description"] = "What cdb build makes a data container of."
	// Comments alone are a recipe, too.
	s["type"] = []string{"object", "null"}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic(err) // maps and strings can be encoded
	}
	return b.Bytes()
}

type schema = map[string]any

func objectSchema(list []field) schema {
	properties := schema{}
	for i := range list {
		s := list[i].schema()
		s["description"] = list[i].doc
		properties[list[i].name] = s
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// textSchema is text that is not empty: a number is one, as it is written.
func textSchema() schema {
	return schema{"type": []string{"string", "number"}, "pattern": `\S`}
}

func either(s ...schema) schema { return schema{"anyOf": s} }

func listOf(s schema) schema { return schema{"type": "array", "items": s} }

func (f *field) schema() schema {
	switch f.kind {
	case texts:
		return either(textSchema(), listOf(textSchema()))
	case flag:
		return schema{"type": "boolean"}
	case count:
		return schema{"type": "integer", "minimum": 0, "maximum": 1<<31 - 1}
	case words:
		return schema{"type": "object", "additionalProperties": schema{"type": []string{"string", "number", "boolean"}}}
	case object:
		return objectSchema(f.fields)
	case person:
		return f.itemSchema()
	case objects:
		return either(f.itemSchema(), listOf(f.itemSchema()))
	case named:
		return schema{"type": "object", "additionalProperties": f.itemSchema()}
	}
	if len(f.enum) > 0 {
		return schema{"enum": f.enum}
	}
	return textSchema()
}

func (f *field) itemSchema() schema { return either(textSchema(), objectSchema(f.fields)) }
