// Entrypoint is the one program in a data container: it answers questions
// about the files beside it from the catalog beside it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/query"
)

// catalogPath is where the catalog lies below the root of the image.
const catalogPath = ".cdb/catalog.db"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks to end, a second one is not waited for.
	context.AfterFunc(ctx, stop)

	env := query.Env{
		Stdout: os.Stdout, Stderr: os.Stderr, StdoutTTY: isTerminal(os.Stdout),
		Name: "entrypoint", Version: version(),
	}
	base := findBase()
	if query.WantsHelp(os.Args[1:]) {
		// Help needs no catalog, but tells of the queries in it.
		if db, err := catalog.OpenFile(filepath.Join(base, catalogPath)); err == nil {
			defer db.Close()
			env.DB = db
		}
	}
	if query.NeedsCatalog(os.Args[1:]) {
		db, err := catalog.OpenFile(filepath.Join(base, catalogPath))
		if err != nil {
			fmt.Fprintf(os.Stderr, "entrypoint: %v\n", err)
			return 1
		}
		defer db.Close()
		env.DB = db
		// Without its data a catalog still answers, so this is no error
		// until somebody asks for bytes.
		if files, err := query.DirFiles(filepath.Join(base, filepath.Clean(db.Dataset().Prefix))); err == nil {
			defer files.Close()
			env.Files = files
		}
	}
	return query.Run(ctx, env, os.Args[1:])
}

// findBase returns the root of the image: the folder of this program, as in
// an image that was unpacked somewhere, or else "/".
func findBase() string {
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		if _, err := os.Lstat(filepath.Join(dir, catalogPath)); err == nil {
			return dir
		}
	}
	return "/"
}

func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && !isNull(fi)
}

// isNull says that a character device is /dev/null, which steers nothing.
func isNull(fi os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(fi, null)
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
