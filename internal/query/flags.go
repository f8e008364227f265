package query

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/standard"
)

// options are the flags.
type options struct {
	// as of the first cdb
	ls, start           bool
	metric, search, get string

	where, text, order string
	desc, count        bool
	limit              int
	format             string
	zero               bool

	sql     string
	timeout time.Duration
	maxRows int

	info, verify, health, version bool
	cat, export                   string

	named  string // of -q
	params params

	plain bool // only flags of the first cdb are given
	given map[string]bool
}

// actions are the flags that do something else than list, each with the
// flags that may stand beside it.
func actions() map[string][]string {
	listing := []string{"ls", "get", "metric", "search"}
	return map[string][]string{
		"start":   listing,
		"info":    {"format"},
		"sql":     {"format", "timeout", "max-rows"},
		"q":       {"p", "format", "timeout", "max-rows", "limit", "ls", "count", "0", "order", "desc"},
		"cat":     nil,
		"export":  {"get", "where", "text", "metric", "search", "order", "desc", "limit", "timeout", "q"},
		"verify":  nil,
		"health":  nil,
		"version": nil,
	}
}

func (r *run) flags() *flag.FlagSet {
	o := &r.options
	f := flag.NewFlagSet(r.Name, flag.ContinueOnError)
	f.SetOutput(r.Stderr)
	f.Usage = func() {} // usageError says how it is used, in short or in full
	f.BoolVar(&o.ls, "ls", false, "")
	f.BoolVar(&o.start, "start", false, "")
	f.StringVar(&o.metric, "metric", "", "")
	f.StringVar(&o.search, "search", "", "")
	f.StringVar(&o.get, "get", "", "")
	f.StringVar(&o.where, "where", "", "")
	f.StringVar(&o.text, "text", "", "")
	f.StringVar(&o.order, "order", "", "")
	f.BoolVar(&o.desc, "desc", false, "")
	f.BoolVar(&o.count, "count", false, "")
	f.IntVar(&o.limit, "limit", 0, "")
	f.StringVar(&o.format, "format", "", "")
	f.BoolVar(&o.zero, "0", false, "")
	f.StringVar(&o.sql, "sql", "", "")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "")
	f.IntVar(&o.maxRows, "max-rows", 0, "")
	f.StringVar(&o.named, "q", "", "")
	f.Var(&o.params, "p", "")
	f.BoolVar(&o.info, "info", false, "")
	f.BoolVar(&o.verify, "verify", false, "")
	f.BoolVar(&o.health, "health", false, "")
	f.BoolVar(&o.version, "version", false, "")
	f.StringVar(&o.cat, "cat", "", "")
	f.StringVar(&o.export, "export", "", "")
	return f
}

// parse reads the flags. What follows the first argument that is none is
// ignored with the flags of the first cdb, as that did. With the others it is
// an error, as it tends to be the rest of an expression without quotes.
func (r *run) parse(args []string) error {
	f := r.flags()
	if err := f.Parse(args); err != nil {
		return err
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) {
		// An empty or false value is as good as none.
		if v := fl.Value.String(); v != "" && v != "false" {
			given[fl.Name] = true
		}
	})
	r.given = given
	r.plain = true
	for name := range given {
		if !slices.Contains([]string{"ls", "start", "metric", "search", "get"}, name) {
			r.plain = false
		}
	}
	if rest := f.Args(); len(rest) > 0 && !r.plain {
		return usageError(fmt.Sprintf("%q is no flag: put quotes around an expression with spaces", rest[0]))
	}
	return r.check(given)
}

// check refuses combinations that would leave a flag without effect.
func (r *run) check(given map[string]bool) error {
	if r.plain {
		return nil
	}
	action := ""
	for name := range actions() {
		if !given[name] || name == "q" && given["export"] {
			continue
		}
		if action != "" {
			a, b := min(action, name), max(action, name)
			return usageError(fmt.Sprintf("-%s and -%s cannot be combined", a, b))
		}
		action = name
	}
	for name := range given {
		if action != "" && name != action && !slices.Contains(actions()[action], name) {
			return usageError(fmt.Sprintf("-%s cannot be combined with -%s", name, action))
		}
	}
	if action == "" && given["max-rows"] {
		return usageError("-max-rows is for -sql: use -limit")
	}
	if action == "" && given["p"] {
		return usageError("-p is for -q")
	}
	return r.checkValues()
}

func (r *run) checkValues() error {
	formats := []string{"", "text", "table", "json", "jsonl", "csv", "tsv"}
	described := r.info && slices.Contains(standard.Formats(), r.format)
	switch {
	case !described && r.info && r.format != "" && r.format != "text" && r.format != "json":
		return usageError(fmt.Sprintf("-info prints text, json, %s", strings.Join(standard.Formats(), ", ")))
	case !described && !slices.Contains(formats, r.format):
		return usageError(fmt.Sprintf("-format %q is none of %s", r.format, strings.Join(formats[1:], ", ")))
	case r.count && r.format != "" && r.format != "text" && r.format != "json":
		return usageError("-count prints text or json")
	case r.limit < 0 || r.maxRows < 0 || r.timeout < 0:
		return usageError("-limit, -max-rows and -timeout cannot be negative")
	case r.zero && (r.format != "" || r.count):
		return usageError("-0 cannot be combined with -format or -count")
	case r.search != "" && r.metric == "":
		return usageError("-search needs the -metric to search in; -text searches in all")
	case r.metric != "" && r.order != "" && r.search == "":
		return usageError("-metric and -order both order: give one")
	}
	if r.format == "text" && r.sql == "" && r.named == "" {
		r.format = ""
	}
	return nil
}

func (r *run) usage() {
	text := strings.ReplaceAll(usageText, "NAME", r.Name)
	io.WriteString(r.Stderr, text)
	r.namedUsage()
}
