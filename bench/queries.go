package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

// A container is a data container that is asked questions.
type container struct {
	corpus
	layout string
	root   string // where entrypoint and catalog are unpacked
	facts  facts
}

// facts are what questions to a container are about.
type facts struct {
	path string // of the file in the middle
	word string // the part of its name that no other file has
	size int64  // of the tenth largest file
}

// A question is one query, the same one for all containers.
type question struct {
	name string
	few  bool // an answer that needs few rows of the catalog
	args func(f facts) []string
}

func fixed(args ...string) func(facts) []string {
	return func(facts) []string { return args }
}

// questions are all that is measured; the first reads no catalog.
func questions() []question {
	return []question{
		{"`-version` (the process alone)", true, fixed("-version")},
		{"`-info`", true, fixed("-info")},
		{"`-get PATH` (exact)", true, func(f facts) []string { return []string{"-get", f.path} }},
		{"`-where \"path = 'PATH'\"`", true, func(f facts) []string {
			return []string{"-where", "path = '" + strings.ReplaceAll(f.path, "'", "''") + "'"}
		}},
		{"`-metric size -limit 10`", true, fixed("-metric", "size", "-limit", "10")},
		{"`-metric size -desc -limit 10`", true, fixed("-metric", "size", "-desc", "-limit", "10")},
		{"`-ls -limit 10`", true, fixed("-ls", "-limit", "10")},
		{"`-sql \"select count(*) from files where size > N\"` (N: the tenth largest)", true, func(f facts) []string {
			return []string{"-sql", fmt.Sprintf("select count(*) from files where size > %d", f.size)}
		}},
		{"`-text WORD -limit 10` (of one file)", true, func(f facts) []string {
			return []string{"-text", f.word, "-limit", "10"}
		}},
		{"`-text json -limit 10` (of many files)", true, fixed("-text", "json", "-limit", "10")},
		{"`-count`", false, fixed("-count")},
		{"`-get TEXT` (in any path)", false, func(f facts) []string { return []string{"-get", f.word} }},
		{"`-sql \"select sum(size) from files\"`", false, fixed("-sql", "select sum(size) from files")},
		{"`-ls` (all)", false, fixed("-ls")},
	}
}

// measureQueries builds containers of several sizes and asks each of them.
func (b *bench) measureQueries(ctx context.Context) error {
	sizes := []int64{2, 10_000, 100_000, 1_000_000}
	if b.quick {
		sizes = sizes[:3]
	}
	for _, n := range sizes {
		c, err := b.container(ctx, n)
		if err != nil {
			return fmt.Errorf("container of %s files: %w", thousands(n), err)
		}
		if err := b.askBoth(ctx, c); err != nil {
			return fmt.Errorf("container of %s files: %w", thousands(n), err)
		}
	}
	fmt.Fprint(b.out, b.report.queryTables())
	return nil
}

// askBoth asks the entrypoint and cdb query.
func (b *bench) askBoth(ctx context.Context, c *container) error {
	result := queryResult{container: c}
	entrypoint := func(args ...string) *exec.Cmd {
		return command(ctx, append([]string{filepath.Join(c.root, "entrypoint")}, args...)...)
	}
	host := func(args ...string) *exec.Cmd {
		return b.cdbCommand(ctx, append([]string{"query", "oci:" + c.layout}, args...)...)
	}
	var err error
	if result.entrypoint, err = b.ask(ctx, c, entrypoint); err != nil {
		return fmt.Errorf("entrypoint: %w", err)
	}
	if result.host, err = b.ask(ctx, c, host); err != nil {
		return fmt.Errorf("cdb query: %w", err)
	}
	b.report.queries = append(b.report.queries, result)
	return nil
}

// container builds the container of n files; what that costs is measured, too.
func (b *bench) container(ctx context.Context, n int64) (*container, error) {
	c := &container{corpus: b.tinyFiles(n)}
	if err := b.ensure(ctx, &c.corpus); err != nil {
		return nil, err
	}
	c.layout = filepath.Join(b.work, fmt.Sprintf("layout-%d", n))
	c.root = filepath.Join(b.work, fmt.Sprintf("root-%d", n))
	u, err := measure(b.cdbCommand(ctx, "build", "-q", c.path, "-o", "oci:"+c.layout))
	if err != nil {
		return nil, err
	}
	say("container of %s: %s", c.name, u)
	b.report.noteMemory(c.corpus, u)
	if err := os.Mkdir(c.root, 0o755); err != nil {
		return nil, err
	}
	if err := unpackEnds(c.layout, c.root); err != nil {
		return nil, err
	}
	return c, c.learn(ctx)
}

// learn finds out what to ask a container for.
func (c *container) learn(ctx context.Context) error {
	entrypoint := filepath.Join(c.root, "entrypoint")
	names := command(ctx, entrypoint, "-ls")
	if err := eachLine(names, func(i int64, line string) {
		if i == c.files/2 {
			c.facts.path = line
			c.facts.word = ownWord(line)
		}
	}); err != nil {
		return err
	}
	if c.facts.path == "" {
		return errors.New("-ls lists fewer files than there are")
	}
	text, err := output(command(ctx, entrypoint, "-format", "json", "-sql",
		"select min(size) as size from (select size from files order by size desc limit 10)"))
	if err != nil {
		return err
	}
	var rows []struct {
		Size int64 `json:"size"`
	}
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 1 {
		return fmt.Errorf("size of the tenth largest file: %q is no answer", text)
	}
	c.facts.size = rows[0].Size
	return nil
}

// ownWord is the longest word with a digit in the name of a file, its number.
func ownWord(name string) string {
	best := ""
	for word := range strings.FieldsFuncSeq(path.Base(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		digits := strings.ContainsAny(word, "0123456789")
		if had := strings.ContainsAny(best, "0123456789"); digits && !had || digits == had && len(word) > len(best) {
			best = word
		}
	}
	return best
}

// eachLine runs a program and calls f for each line of its output, from 0.
func eachLine(c *exec.Cmd, f func(i int64, line string)) error {
	var said tail
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for i := int64(0); lines.Scan(); i++ {
		f(i, lines.Text())
	}
	if err := errors.Join(lines.Err(), c.Wait()); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, said.gist())
	}
	return nil
}

// ask asks all questions in turns; the first turn warms up and counts the lines
// of the answers.
func (b *bench) ask(ctx context.Context, c *container, program func(args ...string) *exec.Cmd) ([]answer, error) {
	answers := make([]answer, len(questions()))
	for round := range b.queryRuns + 1 {
		for i, q := range questions() {
			cmd := program(q.args(c.facts)...)
			if round == 0 {
				var n lineCount
				cmd.Stdout = &n
				if _, err := measure(cmd); err != nil {
					return nil, err
				}
				answers[i].lines = int64(n)
				continue
			}
			u, err := measure(cmd)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			answers[i].runs = append(answers[i].runs, u)
		}
	}
	for i, q := range questions() {
		say("%s, %s: %s", c.name, q.name, answers[i].median())
	}
	return answers, nil
}

// An answer is how a question went.
type answer struct {
	lines int64
	runs  []usage
}

func (a answer) median() usage { return median(a.runs) }

// A lineCount counts the lines that are written to it.
type lineCount int64

func (n *lineCount) Write(p []byte) (int, error) {
	*n += lineCount(bytes.Count(p, []byte("\n")))
	return len(p), nil
}
