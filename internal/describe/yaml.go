package describe

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of YAML. Nesting costs the parser stack, long lines of many tokens
// the square of their length, and no citation needs them.
const (
	maxYAML      = 128 << 10 // bytes
	maxYAMLLine  = 16 << 10
	maxYAMLDepth = 64
)

// parseYAML reads one YAML mapping as [parseJSON] does JSON. Aliases stand for
// nothing: a few lines of them can mean gigabytes.
func parseYAML(b []byte) (v value, err error) {
	if len(b) > maxYAML {
		return value{}, fmt.Errorf("it is larger than %d bytes, so it is not looked at", maxYAML)
	}
	if err := checkNesting(string(b)); err != nil {
		return value{}, err
	}
	// The parser is young; a document that breaks it breaks nothing else.
	defer func() {
		if r := recover(); r != nil {
			v, err = value{}, fmt.Errorf("it is not YAML: the parser gave up (%v)", r)
		}
	}()
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return value{}, fmt.Errorf("it is not YAML: %s", first)
	}
	for _, doc := range file.Docs {
		if obj, ok := fromYAML(doc.Body, 0).(map[string]any); ok {
			return value{obj}, nil
		}
	}
	return value{}, errors.New("it is not a YAML mapping")
}

// checkNesting refuses documents that are nested deeper than any that is
// meant, by flow brackets or by several dashes on a line, before a parser
// spends its stack on them.
func checkNesting(s string) error {
	depth := 0
	for l := range strings.SplitSeq(s, "\n") {
		if len(l) > maxYAMLLine {
			return errors.New("it has lines that are too long")
		}
		rest := strings.TrimLeft(l, " ")
		if indent := len(l) - len(rest); indent > 4*maxYAMLDepth {
			return errors.New("it is nested too deeply")
		}
		for n := 0; strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, "? ") || strings.HasPrefix(rest, ": "); n++ {
			if n > maxYAMLDepth {
				return errors.New("it is nested too deeply")
			}
			rest = strings.TrimLeft(rest[2:], " ")
		}
		for i := range len(l) {
			switch l[i] {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
		}
		if depth > maxYAMLDepth {
			return errors.New("it is nested too deeply")
		}
	}
	return nil
}

// fromYAML turns a node into what encoding/json would have made of it.
func fromYAML(n ast.Node, depth int) any {
	if depth > maxYAMLDepth {
		return nil
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		obj := map[string]any{}
		for _, v := range n.Values {
			putYAML(obj, v, depth)
		}
		return obj
	case *ast.MappingValueNode:
		obj := map[string]any{}
		putYAML(obj, n, depth)
		return obj
	case *ast.SequenceNode:
		list := []any{}
		for _, v := range n.Values {
			list = append(list, fromYAML(v, depth+1))
		}
		return list
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		return json.Number(n.GetToken().Value)
	case *ast.TagNode:
		return fromYAML(n.Value, depth+1)
	case *ast.AnchorNode:
		return fromYAML(n.Value, depth+1)
	}
	return nil
}

func putYAML(obj map[string]any, v *ast.MappingValueNode, depth int) {
	if v == nil || v.Key == nil {
		return
	}
	if key, ok := fromYAML(v.Key, depth+1).(string); ok {
		obj[key] = fromYAML(v.Value, depth+1)
	}
}
