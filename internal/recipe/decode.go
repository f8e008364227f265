package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of YAML. Nesting costs the parser its stack, and long lines of many
// tokens the square of their length.
const (
	maxLine  = 16 << 10
	maxDepth = 32
)

// maxErrors is how many errors of one recipe are told.
const maxErrors = 10

// A position is one in a file; both count from 1.
type position struct{ line, column int }

// A decoder makes a tree of maps, lists and scalars, of the types that the
// table wants, of a file.
type decoder struct {
	name      string
	positions map[string]position
	errs      []error
}

// parse returns the tree. What is wrong is in d.errs.
func (d *decoder) parse(data []byte) (tree map[string]any) {
	if len(data) > maxSize {
		d.errs = append(d.errs, fmt.Errorf("%s: a recipe has at most %d bytes", d.name, maxSize))
		return nil
	}
	if err := d.checkNesting(string(data)); err != nil {
		d.errs = append(d.errs, err)
		return nil
	}
	defer func() {
		// What breaks the parser is no recipe.
		if r := recover(); r != nil {
			d.errs = append(d.errs, fmt.Errorf("%s: not YAML: %v", d.name, r))
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		d.errs = append(d.errs, d.syntaxError(err))
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil // comments alone: nothing is said
	case 1:
		return d.object(bodies[0], "", fields())
	}
	d.fail(bodies[1], "", "a recipe is one document; this is a second one")
	return nil
}

func (d *decoder) syntaxError(err error) error {
	var se *yaml.SyntaxError
	if errors.As(err, &se) && se.Token != nil && se.Token.Position != nil {
		p := se.Token.Position
		return fmt.Errorf("%s:%d:%d: not YAML: %s", d.name, p.Line, p.Column, se.Message)
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s: not YAML: %s", d.name, first)
}

// checkNesting refuses what is nested deeper than any recipe, by brackets, by
// dashes or by indentation, before the parser spends its stack on it. Brackets
// in text count too, which does no harm at these numbers.
func (d *decoder) checkNesting(s string) error {
	depth, number := 0, 0
	for line := range strings.SplitSeq(s, "\n") {
		number++
		fail := func(what string) error { return fmt.Errorf("%s:%d:1: %s", d.name, number, what) }
		if len(line) > maxLine {
			return fail(fmt.Sprintf("a line of %d bytes, at most %d are possible", len(line), maxLine))
		}
		markers := 0
		for rest := strings.TrimLeft(line, " \t"); len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 && strings.IndexByte(" \t", rest[1]) >= 0; {
			markers++
			rest = strings.TrimLeft(rest[1:], " \t")
		}
		opened := strings.Count(line, "[") + strings.Count(line, "{")
		depth = max(0, depth+opened-strings.Count(line, "]")-strings.Count(line, "}"))
		if markers > maxDepth || depth > 8*maxDepth || opened > 8*maxDepth {
			return fail("nested too deeply")
		}
	}
	return nil
}

// fail notes what is wrong at a node.
func (d *decoder) fail(n ast.Node, path, format string, args ...any) {
	if len(d.errs) == maxErrors {
		return
	}
	p := positionOf(n)
	msg := fmt.Sprintf(format, args...)
	if path != "" {
		msg = path + ": " + msg
	}
	d.errs = append(d.errs, fmt.Errorf("%s:%d:%d: %s", d.name, p.line, p.column, msg))
}

// positionOf returns where a node begins. That of a mapping is its first key.
func positionOf(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return positionOf(n.Values[0])
		}
	case *ast.MappingValueNode:
		return positionOf(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{1, 1}
}

// pairs returns the keys and values of a mapping.
func (d *decoder) pairs(n ast.Node, path string) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	d.fail(n, path, "must be keys with values, not %s", describe(n))
	return nil, false
}

// key returns the text of a key.
func (d *decoder) key(n ast.MapKeyNode, path string) (string, bool) {
	if s, ok := scalar(n); ok {
		return s, true
	}
	d.fail(n, path, "a key must be text, not %s", describe(n))
	return "", false
}

// eachPair calls do for the keys of a mapping, each of which comes once.
func (d *decoder) eachPair(n ast.Node, path string, do func(key string, at, value ast.Node)) {
	pairs, _ := d.pairs(n, path)
	seen := map[string]bool{}
	for _, p := range pairs {
		key, ok := d.key(p.Key, path)
		if !ok {
			continue
		}
		if seen[key] {
			d.fail(p.Key, join(path, key), "comes twice")
			continue
		}
		seen[key] = true
		d.positions[join(path, key)] = positionOf(p.Key)
		do(key, p.Key, p.Value)
	}
}

// object reads a mapping with keys of the table.
func (d *decoder) object(n ast.Node, path string, known []field) map[string]any {
	tree := map[string]any{}
	d.eachPair(n, path, func(key string, at, value ast.Node) {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == key })
		if i < 0 {
			d.fail(at, path, "unknown key %q%s", key, hint(key, known))
			return
		}
		if v := d.value(value, join(path, key), &known[i]); v != nil {
			tree[key] = v
		}
	})
	return tree
}

// value reads the value of a key; nil if it is wrong.
func (d *decoder) value(n ast.Node, path string, f *field) any {
	if n == nil || n.Type() == ast.NullType {
		if n != nil {
			d.fail(n, path, "has no value; give %s, or leave the key out", f.wants())
		} else {
			d.errs = append(d.errs, fmt.Errorf("%s: %s: has no value", d.name, path))
		}
		return nil
	}
	switch f.kind {
	case text:
		return d.text(n, path, f)
	case texts:
		return d.list(n, path, func(n ast.Node, path string) any { return d.text(n, path, f) })
	case flag:
		if b, ok := n.(*ast.BoolNode); ok {
			return b.Value
		}
	case count:
		if s, ok := scalar(n); ok && n.Type() == ast.IntegerType {
			if v, err := strconv.ParseUint(s, 10, 31); err == nil {
				return v
			}
		}
	case words:
		tree := map[string]any{}
		d.eachPair(n, path, func(key string, at, value ast.Node) {
			if s, ok := scalar(value); ok {
				tree[key] = s
			} else {
				d.fail(value, join(path, key), "must be text, not %s", describe(value))
			}
		})
		return tree
	case object:
		return d.object(n, path, f.fields)
	case person:
		return d.objectOrText(n, path, f)
	case objects:
		return d.list(n, path, func(n ast.Node, path string) any { return d.objectOrText(n, path, f) })
	case named:
		tree := map[string]any{}
		d.eachPair(n, path, func(key string, at, value ast.Node) {
			tree[key] = d.objectOrText(value, join(path, key), f)
		})
		return tree
	}
	d.fail(n, path, "must be %s, not %s", f.wants(), describe(n))
	return nil
}

// wants says what the value of a field is.
func (f *field) wants() string {
	switch f.kind {
	case texts:
		return "text or a list of it"
	case flag:
		return "true or false"
	case count:
		return "a whole number"
	case words, object:
		return "keys with values"
	case objects:
		return "a list"
	case named:
		return "names with values"
	case person:
		return "text, or keys with values"
	}
	return "text"
}

// text reads one that is not empty.
func (d *decoder) text(n ast.Node, path string, f *field) any {
	s, ok := scalar(n)
	if _, isBool := n.(*ast.BoolNode); !ok || isBool {
		d.fail(n, path, "must be text, not %s", describe(n))
		return nil
	}
	if strings.TrimSpace(s) == "" {
		d.fail(n, path, "is empty; leave the key out")
		return nil
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, s) {
		d.fail(n, path, "%q is none of %s", s, strings.Join(f.enum, ", "))
		return nil
	}
	return s
}

// list reads a list, or one item of it.
func (d *decoder) list(n ast.Node, path string, item func(ast.Node, string) any) any {
	list := []any{}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		if v := item(n, path); v != nil {
			list = append(list, v)
		}
		return list
	}
	for i, n := range seq.Values {
		path := fmt.Sprintf("%s[%d]", path, i)
		d.positions[path] = positionOf(n)
		if n.Type() == ast.NullType {
			d.fail(n, path, "is empty")
		} else if v := item(n, path); v != nil {
			list = append(list, v)
		}
	}
	return list
}

// objectOrText reads an object, of which text alone is the short form.
func (d *decoder) objectOrText(n ast.Node, path string, f *field) any {
	if _, ok := scalar(n); ok {
		if s := d.text(n, path, &field{}); s != nil {
			return map[string]any{f.short: s}
		}
		return nil
	}
	return d.object(n, path, f.fields)
}

// scalar returns the text of a string, number or bool as it is written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe says what a node is.
func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false (write text in quotes)"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which recipes do without"
	case *ast.TagNode:
		return "a tag, which recipes do without"
	}
	return n.Type().String()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// hint says what may be meant by an unknown key.
func hint(key string, known []field) string {
	has := func(list []field, name string) bool {
		return slices.ContainsFunc(list, func(f field) bool { return f.name == name })
	}
	lower := strings.ToLower(strings.ReplaceAll(key, "_", "-"))
	if has(known, lower) {
		return fmt.Sprintf(": did you mean %q?", lower)
	}
	if other := otherNames()[lower]; has(known, other) {
		return fmt.Sprintf(": did you mean %q?", other)
	}
	for _, f := range known {
		if distance(lower, f.name) <= 1+len(f.name)/5 {
			return fmt.Sprintf(": did you mean %q?", f.name)
		}
	}
	for _, f := range fields() {
		if f.kind == object && (has(f.fields, lower) || has(f.fields, otherNames()[lower])) {
			return fmt.Sprintf(": it belongs to %q", f.name)
		}
	}
	if has(fields(), lower) {
		return ": it belongs to the outermost level"
	}
	var names []string
	for _, f := range known {
		names = append(names, f.name)
	}
	return "; known are " + strings.Join(names, ", ")
}

// distance is how many letters are to be changed, added or left out to make b
// of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
