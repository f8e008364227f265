package query

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// params are the values that -p gives to parameters of a named query.
type params map[string]string

// String implements flag.Value.
func (p *params) String() string {
	if p == nil || *p == nil {
		return ""
	}
	return fmt.Sprint(map[string]string(*p))
}

// Set implements flag.Value.
func (p *params) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("give KEY=VALUE")
	}
	if *p == nil {
		*p = params{}
	}
	(*p)[name] = value
	return nil
}

// useNamed puts the query that -q names in the place of the flags that it
// stands for. What else is given goes before what the query says.
func (r *run) useNamed() error {
	q, ok := r.DB.Dataset().Queries[r.named]
	if !ok {
		return r.noQuery()
	}
	if err := q.Check(); err != nil {
		return fmt.Errorf("query %q: %w; a newer cdb may know more of it", r.named, err)
	}
	if q.SQL != "" {
		return r.useSQL(&q)
	}
	if r.given["max-rows"] {
		return usageError("-max-rows is for queries of SQL: use -limit")
	}
	if r.params != nil {
		return usageError(fmt.Sprintf("query %q has no parameters: it is not one of SQL", r.named))
	}
	if r.format == "text" {
		r.format = ""
	}
	r.get, r.text, r.where, r.metric, r.search = q.Get, q.Text, q.Where, q.Metric, q.Search
	r.desc = r.desc || q.Desc
	if !r.given["limit"] {
		r.limit = q.Limit
	}
	if r.order == "" {
		r.order = q.Order
	} else if r.search == "" {
		r.metric = "" // it only ordered
	}
	return nil
}

// useSQL puts a statement in the place of -sql.
func (r *run) useSQL(q *catalog.NamedQuery) error {
	for _, name := range []string{"ls", "count", "order", "desc", "0", "export"} {
		if r.given[name] {
			return usageError(fmt.Sprintf("-%s cannot be combined with query %q, which is one of SQL", name, r.named))
		}
	}
	r.sql = q.SQL
	if r.params == nil {
		r.params = params{}
	}
	return nil
}

// noQuery says that there is no query of the name, and which there are.
func (r *run) noQuery() error {
	names := r.DB.Dataset().QueryNames()
	if len(names) == 0 {
		return fmt.Errorf("query %q: this dataset has no named queries", r.named)
	}
	return fmt.Errorf("query %q: there is none of this name; known are %s", r.named, strings.Join(names, ", "))
}

// namedUsage is what -h says of the named queries, if the catalog is at hand.
func (r *run) namedUsage() {
	if r.DB == nil || len(r.DB.Dataset().Queries) == 0 {
		return
	}
	ds := r.DB.Dataset()
	io.WriteString(r.Stderr, "\nQueries of this dataset\n")
	for _, name := range ds.QueryNames() {
		q := ds.Queries[name]
		fmt.Fprintf(r.Stderr, "  -q %-14s %s\n", tree.Visible(name), tree.Visible(describe(&q)))
	}
}

// describe says what a query is about.
func describe(q *catalog.NamedQuery) string {
	first, _, _ := strings.Cut(strings.TrimSpace(q.Description), "\n")
	return cmp.Or(first, q.SQL, q.Where, q.Text, q.Get, q.Metric, q.Order)
}

// WantsHelp says if args ask for help, which says more with a catalog.
func WantsHelp(args []string) bool {
	r := &run{Env: Env{Stderr: io.Discard}}
	f := r.flags()
	asked := false
	f.Usage = func() { asked = true }
	return f.Parse(args) != nil && asked && slices.ContainsFunc(args, isHelp)
}

func isHelp(arg string) bool {
	return slices.Contains([]string{"-h", "--h", "-help", "--help"}, arg)
}
