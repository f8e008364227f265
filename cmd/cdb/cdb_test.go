package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/registrytest"
)

// entrypointsVar names the folder with the entrypoints to use instead of the
// embedded ones, in the environment of a cdb that a test runs.
const entrypointsVar = "CDB_TEST_ENTRYPOINTS"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cdb": func() {
			if dir := os.Getenv(entrypointsVar); dir != "" {
				os.Exit(run(os.DirFS(dir)))
			}
			main()
		},
		"listtree": func() { listTree(os.Args[1]) },
	})
}

// Each promise of the command line is a script.
func TestScripts(t *testing.T) {
	entrypoints := standIns(t)
	registries := &registries{t: t, byName: map[string]*registrytest.Proxy{}}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv(entrypointsVar, entrypoints)
			env.Setenv("CDB_STORE", filepath.Join(env.WorkDir, ".store"))
			env.Setenv("GOARCH", runtime.GOARCH)
			env.Setenv("GOCACHE", goCache())
			env.Setenv("ESC", "names/\x1b[31mred")
			env.Setenv("DATA", realData())
			temp := filepath.Join(env.WorkDir, ".temp")
			env.Setenv("TMPDIR", temp)
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("CDB_CACHE", filepath.Join(env.WorkDir, ".cache"))
			return os.Mkdir(temp, 0o777)
		},
		Condition: condition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":    exitWith,
			"mktree":  makeTree,
			"mkfifo":  makeFIFO,
			"touch":   touch,
			"waitfor": waitFor,
			"corrupt": corrupt,
			"tmpfs":   mountTmpfs,
			"same":    same,
			"nofiles": noFiles,
			"capture": capture,
			"serve":   serveFolder,

			"registry": registries.start,
			"requests": registries.requests,
			"inject":   registries.inject,
		},
	})
}

// standIns is a folder with programs in the place of entrypoints. No script
// but one runs what is in an image, and small ones make the tests fast.
func standIns(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, arch := range architectures() {
		program := "#!/bin/sh\necho stand-in for " + arch + "\n"
		if err := os.WriteFile(filepath.Join(dir, "linux-"+arch), []byte(program), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// realData is the folder with real data sets beside the checkout, maybe.
func realData() string {
	dir, err := filepath.Abs("../../../shared/data")
	if err != nil {
		return ""
	}
	return dir
}

// goCache is where scripts that compile find the standard library compiled.
func goCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "go-build")
}

func condition(cond string) (bool, error) {
	switch cond {
	case "entrypoints":
		_, err := embedded.Open("entrypoints/linux-" + runtime.GOARCH)
		return err == nil, nil
	case "data":
		_, err := os.Stat(realData())
		return err == nil, nil
	case "root":
		return os.Geteuid() == 0, nil
	case "tmpfs":
		dir, err := os.MkdirTemp("", "cdb-tmpfs-")
		if err != nil {
			return false, err
		}
		defer os.Remove(dir)
		if unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k") != nil {
			return false, nil
		}
		return true, unix.Unmount(dir, 0)
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// exitWith is "code N PROGRAM ARGS...": the program must end with code N.
func exitWith(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// weirdNames are what files may be called.
var weirdNames = []string{
	"with space", `"double" 'single'`, "new\nline", "tab\there", "esc\x1b[31mred", "back`tick`", "$HOME", "*?[x]", "back\\slash",
	"not-utf8-\xff\xfe", "-rf", "--help", "Case", "case", ".hidden", "rtl\u202etxt", "\u00e9", "e\u0301", "~", "a:b", "a=b",
	strings.Repeat("n", 255),
}

// makeTree is "mktree DIR": a folder with everything that is hard.
func makeTree(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	write := func(name, content string, mode fs.FileMode) {
		path := filepath.Join(dir, name)
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
		ts.Check(os.WriteFile(path, []byte(content), 0o666))
		ts.Check(os.Chmod(path, mode))
	}
	for i, n := range weirdNames {
		write("names/"+n, n, 0o644)
		if len(n) < 200 {
			write("folders/"+n+"/in it", strconv.Itoa(i), 0o644)
		}
	}
	write("empty", "", 0o644)
	write("run.sh", "#!/bin/sh\n", 0o755)
	write("big", strings.Repeat("0123456789abcdef", 200_000), 0o644)
	ts.Check(os.MkdirAll(filepath.Join(dir, "empty folder"), 0o777))
	for link, target := range map[string]string{
		"relative": "../names/with space", "absolute": "/data/run.sh", "dangling": "nowhere", "loop": "loop",
		"outside": "../../etc/passwd", "folder": "../names", "weird\n": "../names/not-utf8-\xff\xfe",
	} {
		ts.Check(os.MkdirAll(filepath.Join(dir, "links"), 0o777))
		ts.Check(os.Symlink(target, filepath.Join(dir, "links", link)))
	}
	ts.Check(os.Link(filepath.Join(dir, "big"), filepath.Join(dir, "hard")))
	deep := dir
	for range 14 {
		deep = filepath.Join(deep, strings.Repeat("d", 250))
	}
	ts.Check(os.MkdirAll(deep, 0o777))
	ts.Check(os.WriteFile(filepath.Join(deep, "bottom"), []byte("deep"), 0o644))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	ts.Check(err)
	ts.Check(sparse.Truncate(3 << 20))
	ts.Check(sparse.Close())
	setTimes(ts, dir)
}

// setTimes makes times of a tree that differ and have whole seconds, as a
// build keeps no more.
func setTimes(ts *testscript.TestScript, dir string) {
	var paths []string
	ts.Check(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	for i := len(paths) - 1; i >= 0; i-- {
		when := []unix.Timespec{{Sec: 1_500_000_000 + int64(i)}, {Sec: 1_500_000_000 + int64(i)}}
		ts.Check(unix.UtimesNanoAt(unix.AT_FDCWD, paths[i], when, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// listTree prints a tree so that equal trees have equal lists.
func listTree(dir string) {
	links := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, what := strings.TrimPrefix(path, dir), ""
		switch {
		case d.Type() == fs.ModeSymlink:
			what, err = os.Readlink(path)
		case d.Type().IsRegular():
			var data []byte
			data, err = os.ReadFile(path)
			what = fmt.Sprintf("%d bytes %.20q", len(data), data)
			if first := links[st.Ino]; first != "" {
				what += " = " + first
			}
			links[st.Ino] = rel
		}
		_, _ = fmt.Printf("%q %o %d %q\n", rel, st.Mode, st.Mtim.Sec, what)
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func makeFIFO(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(unix.Mkfifo(ts.MkAbs(args[0]), 0o666))
}

// touch is "touch SECONDS FILE...".
func touch(ts *testscript.TestScript, neg bool, args []string) {
	seconds, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	for _, f := range args[1:] {
		ts.Check(os.Chtimes(ts.MkAbs(f), time.Unix(seconds, 0), time.Unix(seconds, 0)))
	}
}

func glob(ts *testscript.TestScript, pattern string) []string {
	files, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	return files
}

// waitFor is "waitfor PATTERN": until a file is there that matches.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	for range 1000 {
		if len(glob(ts, args[0])) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("no file matches %s", args[0])
}

// noFiles is "nofiles PATTERN...": nothing matches.
func noFiles(ts *testscript.TestScript, neg bool, args []string) {
	for _, a := range args {
		if files := glob(ts, a); len(files) > 0 {
			ts.Fatalf("there are %q", files)
		}
	}
}

// corrupt is "corrupt PATTERN OFFSET": a bit of the only file that matches is
// changed; a negative offset counts from its end.
func corrupt(ts *testscript.TestScript, neg bool, args []string) {
	files := glob(ts, args[0])
	if len(files) != 1 {
		ts.Fatalf("%s matches %q", args[0], files)
	}
	data, err := os.ReadFile(files[0])
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	if offset < 0 {
		offset += len(data)
	}
	data[offset] ^= 1
	ts.Check(os.WriteFile(files[0], data, 0o666))
}

// mountTmpfs is "tmpfs DIR SIZE".
func mountTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// capture is "capture VAR REGEXP": what the group of the expression finds in
// the last standard output becomes a variable.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("the output has no %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// same is "same A B...": all arguments are equal.
func same(ts *testscript.TestScript, neg bool, args []string) {
	for _, a := range args[1:] {
		if (a == args[0]) == neg {
			ts.Fatalf("%q and %q", args[0], a)
		}
	}
}
