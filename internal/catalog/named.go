package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
)

// queryKey begins the keys of table dataset that hold Queries.
const queryKey = "query:"

// A NamedQuery is a question that whoever made the dataset gave a name: one
// statement of SQL, or else a selection of files, whose fields are those of
// Query.
type NamedQuery struct {
	Description string
	// SQL is a statement that reads. It may have parameters ":NAME".
	SQL string

	Get    string
	Text   string
	Where  string
	Metric string
	Search string
	Order  string
	Desc   bool
	Limit  int
}

// CheckQueryName says if a query can have this name.
func CheckQueryName(name string) error {
	const inner = "_.-"
	ok := name != "" && len(name) <= 64 && strings.IndexByte(inner, name[0]) < 0
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(inner, c) >= 0)
	}
	if !ok {
		return fmt.Errorf("name of query %q: may hold letters, digits, and behind the first character also \"_\", \".\" and \"-\", at most 64", name)
	}
	return nil
}

// Check says what is wrong with q as far as it shows without a catalog.
func (q *NamedQuery) Check() error {
	selects := q.Get + q.Text + q.Where + q.Metric + q.Search + q.Order
	switch {
	case q.SQL != "" && (selects != "" || q.Desc || q.Limit != 0):
		return errors.New("sql stands alone: put the other conditions into the statement")
	case q.SQL == "" && selects == "":
		return errors.New("it asks nothing: give sql, or one of get, text, where, metric and order")
	case q.Search != "" && q.Metric == "":
		return errors.New("search needs the metric to search in")
	case q.Metric != "" && q.Order != "" && q.Search == "":
		return errors.New("metric and order both order: give one")
	case q.Limit < 0:
		return errors.New("limit cannot be negative")
	}
	return nil
}

// checkStatement makes sure that SQLite understands a statement, whose
// parameters have names.
func (db *DB) checkStatement(ctx context.Context, query string) error {
	if err := checkSQL(query); err != nil {
		return err
	}
	conn, err := db.take(ctx)
	if err != nil {
		return err
	}
	defer db.give(conn)
	defer conn.SetAuthorizer(nil)
	g := &guard{}
	names, err := resolve(ctx, conn, query, "", func(query string) error {
		stmt, _, err := g.prepareWith(conn, query, true)
		if err == nil {
			_, err = parameters(stmt)
			stmt.Finalize()
		}
		return err
	})
	if err != nil {
		return g.explain(names.originalError(err))
	}
	return nil
}

// parameters returns the names of those of a statement.
func parameters(stmt *sqlite.Stmt) ([]string, error) {
	var names []string
	for i := 1; i <= stmt.BindParamCount(); i++ {
		name, ok := strings.CutPrefix(stmt.BindParamName(i), ":")
		if !ok || name == "" {
			return nil, errors.New("a parameter is written :NAME")
		}
		names = append(names, name)
	}
	return names, nil
}

// CheckQuery makes sure that SQLite understands q over this catalog.
func (db *DB) CheckQuery(ctx context.Context, q *NamedQuery) error {
	if err := q.Check(); err != nil {
		return err
	}
	if q.SQL != "" {
		if err := db.checkStatement(ctx, q.SQL); err != nil {
			return fmt.Errorf("sql: %w", err)
		}
	}
	if q.Where != "" {
		_, err := db.checkWhere(ctx, q.Where)
		return err
	}
	return nil
}

// IsNoColumn says that an error of CheckQuery is about a name that is neither a
// column nor a metric of this catalog.
func IsNoColumn(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no such column")
}

// bind gives the parameters of a statement their values, and says which have
// none and which values have no parameter. What is the canonical form of a
// number is one: where a column has text it is compared as text all the same.
func bind(stmt *sqlite.Stmt, values map[string]string) error {
	names, err := parameters(stmt)
	if err != nil {
		return err
	}
	for name := range values {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no parameter %q%s", name, known(names))
		}
	}
	for i, name := range names {
		v, ok := values[name]
		if !ok {
			return fmt.Errorf("the parameter %q has no value: give -p %s=VALUE", name, name)
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && strconv.FormatInt(n, 10) == v {
			stmt.BindInt64(i+1, n)
		} else if f, err := strconv.ParseFloat(v, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == v {
			stmt.BindFloat(i+1, f)
		} else {
			stmt.BindText(i+1, v)
		}
	}
	return nil
}

func known(names []string) string {
	if len(names) == 0 {
		return ": the query has none"
	}
	return "; known are " + strings.Join(names, ", ")
}

// texts are the fields of q that are text, in the order of their JSON.
func (q *NamedQuery) texts() []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{
		{"description", &q.Description}, {"sql", &q.SQL}, {"get", &q.Get}, {"text", &q.Text}, {"where", &q.Where},
		{"metric", &q.Metric}, {"search", &q.Search}, {"order", &q.Order},
	}
}

// JSON returns q as the object that table dataset holds.
func (q *NamedQuery) JSON() string {
	b := []byte{'{'}
	key := func(name string) {
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		b = append(AppendString(b, name), ": "...)
	}
	for _, f := range q.texts() {
		if *f.value != "" {
			key(f.name)
			b = AppendString(b, *f.value)
		}
	}
	if q.Desc {
		key("desc")
		b = append(b, "true"...)
	}
	if q.Limit != 0 {
		key("limit")
		b = strconv.AppendInt(b, int64(q.Limit), 10)
	}
	return string(append(b, '}'))
}

// parseQuery is the inverse of JSON. Members it does not know are left to
// newer programs.
func parseQuery(s string) (q NamedQuery, err error) {
	if !ValidJSON(s) || !members(s, func(string, string) bool { return true }) {
		return q, errors.New("not a JSON object")
	}
	texts := q.texts()
	members(s, func(name, value string) bool {
		for _, f := range texts {
			if f.name == name && value[0] == '"' {
				*f.value = unquote(value)
				return true
			}
		}
		switch name {
		case "desc":
			q.Desc = value == "true"
		case "limit":
			q.Limit, err = strconv.Atoi(value)
		}
		return err == nil
	})
	return q, err
}

// parseQueries returns the named queries in the rows of table dataset.
func parseQueries(kv map[string]string) (map[string]NamedQuery, error) {
	queries := map[string]NamedQuery{}
	for key, value := range kv {
		name, ok := strings.CutPrefix(key, queryKey)
		if !ok {
			continue
		}
		q, err := parseQuery(value)
		if err != nil {
			return nil, fmt.Errorf("dataset key %q: %w", key, err)
		}
		if err := CheckQueryName(name); err != nil {
			return nil, fmt.Errorf("dataset key %q: %w", key, err)
		}
		queries[name] = q
	}
	return queries, nil
}

// QueryNames returns the names of the named queries, sorted.
func (ds *Dataset) QueryNames() []string { return slices.Sorted(maps.Keys(ds.Queries)) }
