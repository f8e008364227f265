package scan_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

func TestIgnore(t *testing.T) {
	all := []string{"a.txt", "a.log", "b/a.log", "b/c/a.log", "b/c/d.txt", "build/x", "src/build/y", "keep.log", "#x", "!x", "sp ", "caf\xe9.log"}
	tests := []struct {
		name    string
		files   map[string]string // ignore files
		exclude []string
		want    string // the files left, ignore files not shown
	}{
		{name: "nothing", want: "!x #x a.log a.txt b/a.log b/c/a.log b/c/d.txt build/x caf\xe9.log keep.log sp |src/build/y"},
		{name: "excludes", exclude: []string{"*.log", "!keep.log", "/build/", "# comment", `\#x`, `\!x`, `sp\ `}, want: "a.txt b/c/d.txt keep.log src/build/y"},
		{name: "excludes win", files: map[string]string{".cdbignore": "!*.log\n*x\nb"}, exclude: []string{"*.log"}, want: "a.txt sp |src/build/y"},
		{name: "nested files win", files: map[string]string{".cdbignore": "*.log\n*x\nsp*", "b/.cdbignore": "!a.log\n/c/d.txt"}, want: "a.txt b/a.log b/c/a.log src/build/y"},
		{name: "nothing below an excluded folder", files: map[string]string{".cdbignore": "b/\n!b/a.log\n*x\ns*\n"}, want: "a.log a.txt caf\xe9.log keep.log"},
		{name: "byte order mark and line ends", files: map[string]string{".cdbignore": "\ufeff*.log\r\n*x\r\nb\nsp*\nsrc"}, want: "a.txt"},
		{name: "all but", files: map[string]string{".cdbignore": "/*\n!/b\n/b/*\n!/b/c"}, want: "b/c/a.log b/c/d.txt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := makeTree(t, all...)
			for p, content := range test.files {
				check(t, os.WriteFile(filepath.Join(src, p), []byte(content), 0o644))
			}
			l := open(t, src, scan.Options{Exclude: test.exclude})
			var got []string
			for _, e := range entries(t, l) {
				if e.Type == tree.File && tree.Base(e.Path) != ".cdbignore" {
					got = append(got, e.Path)
				}
			}
			s := strings.ReplaceAll(strings.Join(got, " "), "sp  ", "sp |")
			if s != test.want {
				t.Errorf("got  %q\nwant %q", s, test.want)
			}
		})
	}
}

func TestIgnoreFileOption(t *testing.T) {
	src := makeTree(t, "a", "b", "c")
	check(t, os.WriteFile(src+"/.cdbignore", []byte("a\n"), 0o644))
	check(t, os.WriteFile(src+"/.other", []byte("b\n.other\n"), 0o644))
	for name, want := range map[string][]string{
		"":       {"/", ".cdbignore", ".other", "b", "c"},
		".other": {"/", ".cdbignore", "a", "c"},
		"-":      {"/", ".cdbignore", ".other", "a", "b", "c"},
	} {
		if d := cmp.Diff(want, paths(t, open(t, src, scan.Options{IgnoreFile: name}))); d != "" {
			t.Errorf("ignore file %q: %s", name, d)
		}
	}
	if _, err := scan.Open(t.Context(), src, scan.Options{IgnoreFile: "a/b"}); err == nil {
		t.Error("a path is no name, but there is no error")
	}
}

func TestIgnoreFileThatCannotBeRead(t *testing.T) {
	tests := map[string]func(p string) error{
		"link": func(p string) error { return os.Symlink("x", p) },
		"long": func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("x\n"), 1<<20), 0o644) },
	}
	for name, create := range tests {
		src := makeTree(t, "d/x")
		check(t, create(src+"/d/.cdbignore"))
		_, err := scan.Open(t.Context(), src, scan.Options{})
		if err == nil || !strings.Contains(err.Error(), `read ignore file "d/.cdbignore": `) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if got := paths(t, open(t, makeTree(t, ".cdbignore/x"), scan.Options{})); len(got) != 3 {
		t.Errorf("a folder of that name: %q", got)
	}
}

func TestIgnorePatternsTakeBoundedTime(t *testing.T) {
	src := makeTree(t, strings.Repeat("a/", 40)+"a", strings.Repeat("a", 200))
	start := time.Now()
	open(t, src, scan.Options{Exclude: []string{
		strings.Repeat("**/a/", 20) + "b", strings.Repeat("*a", 50) + "b", strings.Repeat("**/*a*/", 12) + "b",
	}})
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestIgnoreAsGit compares random rules with what git makes of them.
func TestIgnoreAsGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	src := makeTree(t, "a", "b", "ab", "foo.c", "foo/a", "foo/b.c", "foo/foo/a", "foo/x/y/bar", "foobar", "foo/xbar",
		"a b", "a ", " ", "#a", "!a", `a\`, `\a`, "[a]", "a*b", "*", "\xff", "\xffa", "d/a", "d/ab/foo.c", "d/ab/b/a", "d/-", "]", "a]",
		"d/link -> ab", "A", "0", "Z/0", "Z/a/b/c/d", "é", "foo/é/x", "a-b", "d/foo/", "^", "d/,", "e/a", "e/foo/a", "\\ ")
	git := t.TempDir()
	run(t, nil, "git", "init", "-q", "--bare", git)
	words := []string{"a", "a", "b", "ab", "foo", "foo", "bar", "d", "x", "*", "*", "**", "**", "?", "[ab]", "[!a]", "[^b-d]",
		"[[:alpha:]]", "[[:nope:]]", "[[:upper:][:digit:]]", "[]a]", "[a-]", "[--,]", "[\\]]", "[a", "[[:a]", "[/]", "[!/]", "\\a", "\\*", "\\ ", " ",
		"/", "/", "/", "/", "/**/", "**/", "/**", "!", "#", "\\#", "\\!", "\xff", "[\x80-\xff]", ".c", ".", "-", "\\", "é", "\r", "Z", "\\/"}
	rnd := rand.New(rand.NewPCG(1, 2))
	pattern := func() string {
		p := []string{"", "", "", "!", "/"}[rnd.IntN(5)]
		for range 1 + rnd.IntN(5) {
			p += words[rnd.IntN(len(words))]
		}
		return p + []string{"", "", "", "/", " "}[rnd.IntN(5)]
	}
	lines := func(n int) string {
		var s []string
		for range n {
			s = append(s, pattern())
		}
		return strings.Join(s, "\n")
	}
	rounds := 120
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		rules := map[string]string{".cdbignore": lines(1 + rnd.IntN(4)), "d/.cdbignore": lines(rnd.IntN(3)), "foo/.cdbignore": lines(rnd.IntN(3))}
		for p, content := range rules {
			check(t, os.WriteFile(filepath.Join(src, p), []byte(content), 0o644))
		}
		// Only patterns that mean the same as arguments and as lines.
		exclude := strings.NewReplacer("#", "", " ", "", "\r", "").Replace(pattern())
		args := []string{"--git-dir=" + git, "--work-tree=" + src, "ls-files", "--others", "-z", "--exclude-per-directory=.cdbignore"}
		opts := scan.Options{}
		if rnd.IntN(2) == 0 {
			args, opts.Exclude = append(args, "--exclude="+exclude), []string{exclude}
		}
		compareFiles(t, src, opts, rules, run(t, nil, "git", args...))
	}
	compareCheckIgnore(t, src, git, pattern, rounds/4)
}

// compareFiles compares a scan with the list of files that git leaves.
func compareFiles(t *testing.T, src string, opts scan.Options, rules map[string]string, want string) {
	t.Helper()
	var got []string
	for _, e := range entries(t, open(t, src, opts)) {
		if e.Type != tree.Dir {
			got = append(got, e.Path)
		}
	}
	wantFiles := strings.FieldsFunc(want, func(r rune) bool { return r == 0 })
	slices.Sort(wantFiles)
	if d := cmp.Diff(wantFiles, got); d != "" && len(wantFiles)+len(got) > 0 {
		t.Errorf("rules %q, exclude %q: differs from git:\n%s", rules, opts.Exclude, d)
	}
}

// compareCheckIgnore compares, folders included, single files of many
// patterns with "git check-ignore".
func compareCheckIgnore(t *testing.T, src, git string, pattern func() string, rounds int) {
	t.Helper()
	for _, p := range []string{"d/.cdbignore", "foo/.cdbignore"} {
		check(t, os.Remove(filepath.Join(src, p)))
	}
	check(t, os.Remove(filepath.Join(src, ".cdbignore")))
	all := entries(t, open(t, src, scan.Options{}))[1:]
	var stdin bytes.Buffer
	for _, e := range all {
		stdin.WriteString(e.Path + "\x00")
	}
	for range rounds {
		rules := pattern() + "\n" + pattern() + "\n" + pattern()
		file := filepath.Join(t.TempDir(), "rules")
		check(t, os.WriteFile(file, []byte(rules), 0o644))
		out := run(t, stdin.Bytes(), "git", "-c", "core.excludesFile="+file, "--git-dir="+git, "--work-tree="+src, "-C", src, "check-ignore", "--no-index", "-z", "--stdin")
		drop := map[string]bool{}
		for p := range strings.SplitSeq(out, "\x00") {
			drop[p] = true
		}
		var want []string
		for _, e := range all {
			if !drop[e.Path] {
				want = append(want, e.Path)
			}
		}
		var got []string
		for _, e := range entries(t, open(t, src, scan.Options{Exclude: []string{rules}}))[1:] {
			got = append(got, e.Path)
		}
		if d := cmp.Diff(want, got); d != "" && len(want)+len(got) > 0 {
			t.Errorf("rules %q: differs from git:\n%s", rules, d)
		}
	}
}

// run returns what a command prints. Exit status 1 is "none" of check-ignore.
func run(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent")
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return string(out)
}
