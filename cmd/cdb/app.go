package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/ui"
)

// An app is one command line at work: what it is connected to, and the flags
// that all commands share.
type app struct {
	stdout      io.Writer
	stdoutTTY   bool
	stderr      io.Writer
	talk        *ui.Talk
	getenv      func(string) string
	entrypoints fs.FS // linux-GOARCH

	store   string
	quiet   bool
	running bool // the command line was understood
	remote  remoteFlags
	reached *reach // once it is made
}

// An exitCode ends a command that has said all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// A usageError is about the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// execute runs a command line and returns its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		plainUsage(root)
	}
	cmd, err := root.ExecuteContextC(ctx)
	return a.code(ctx, cmd, err)
}

// code says what went wrong, once, and what to do about it.
func (a *app) code(ctx context.Context, cmd *cobra.Command, err error) int {
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return ui.ExitOK
	case errors.As(err, &code):
		return int(code)
	case !a.running || errors.As(err, &usage):
		a.talk.Warn("%v", err)
		a.talk.Warn("usage: %s (see \"%s --help\")", cmd.UseLine(), cmd.CommandPath())
		return ui.ExitUsage
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		a.talk.Warn("interrupted")
		return ui.ExitInterrupted
	case errors.Is(err, syscall.EPIPE):
		return ui.ExitError // the reader has gone, there is nobody to tell
	}
	a.fail(err)
	return ui.ExitError
}

// fail prints an error and what to do next, where its text does not say it.
func (a *app) fail(err error) {
	a.talk.Warn("%v", err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		a.talk.Warn("the disk is full: free some space (\"cdb gc\" removes what no image needs), or choose another place with --store or -o, and with TMPDIR for temporary files")
	case errors.Is(err, registry.ErrDenied):
		a.talk.Warn("\"cdb login HOST\" keeps a name and a password for a registry; without one only what is public can be read")
	case errors.Is(err, image.ErrNoDataContainer):
		a.talk.Warn("cdb reads images that cdb built: see \"cdb build --help\"")
	case errors.Is(err, store.ErrNotFound) && errors.As(err, new(*registry.StatusError)):
		a.talk.Warn("\"cdb search HOST\" lists the data containers of a registry")
	case errors.Is(err, store.ErrNotFound):
		a.talk.Warn("\"cdb images\" lists the images of the local store, \"cdb build SRC -t NAME\" adds one")
	}
}

// places is where images and temporary files are.
func (a *app) places() (cdb.Places, error) {
	r, err := a.reach()
	if err != nil {
		return cdb.Places{}, err
	}
	return cdb.Places{
		Store: a.storeDir(), DockerHost: a.getenv("DOCKER_HOST"), TempDir: os.TempDir(), Cache: a.cacheDir(),
		Registries: r.client, Pieces: r.pieces, Proxy: http.ProxyFromEnvironment,
	}, nil
}

// cacheDir is the folder of the change cache; "" is none.
func (a *app) cacheDir() string {
	if dir := a.getenv("CDB_CACHE"); dir != "" {
		return dir
	}
	if dir := a.getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cdb")
	}
	if home := a.getenv("HOME"); home != "" {
		return filepath.Join(home, ".cache", "cdb")
	}
	return ""
}

func (a *app) storeDir() string {
	if a.store != "" {
		return a.store
	}
	return store.DefaultRoot(a.getenv)
}

func (a *app) local() (*store.Local, error) { return store.OpenLocal(a.storeDir()) }

// with opens the image that a command is about.
func (a *app) with(ctx context.Context, ref string, do func(*cdb.Container) error) error {
	places, err := a.places()
	if err != nil {
		return err
	}
	c, err := cdb.Open(ctx, ref, places)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// arguments wants at least least and at most most arguments; want says which.
func arguments(least, most int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return usagef("%s: give %s", cmd.Name(), want)
	}
}

// many is a number of arguments without a limit.
const many = math.MaxInt

// knownCommand refuses words that are no command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if len(args[0]) < 4 { // of short words too many others are near
		cmd.SuggestionsMinimumDistance = 1
	}
	near := slices.Compact(slices.Sorted(slices.Values(cmd.SuggestionsFor(args[0]))))
	if args[0] == "version" {
		near = []string{"--version"}
	}
	if len(near) > 0 {
		return usagef("there is no command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usagef("there is no command %q", args[0])
}

// otherNames are what other programs call what our commands do.
func otherNames() map[string][]string {
	return map[string][]string{
		"build": {"create", "make", "pack"}, "query": {"run", "ask", "sql"}, "ls": {"list", "tree"}, "info": {"inspect", "show"},
		"export": {"extract", "unpack"}, "log": {"history"}, "copy": {"cp"}, "pull": {"fetch", "get"}, "rm": {"remove", "delete", "rmi"},
		"gc": {"prune", "clean"}, "verify": {"check", "fsck"},
	}
}

// root is the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cdb COMMAND",
		Short: "Make data containers and ask them questions",
		Long: `cdb turns a folder into a data container: an image that holds no operating
system but the data, a catalog that describes it, and a small program that
answers questions about it. Docker, Podman and every other engine run it; cdb
itself reads it without any of them.

An IMAGE is NAME[:TAG][@DIGEST] or sha256:ID in the local store, oci:DIR[:TAG],
oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME[:TAG], the path of an
OCI layout or an archive, or docker://HOST/NAME[:TAG][@DIGEST] in a registry. A
name that begins with a host, and is not in the local store, is one in a
registry too. What is read of those is read there, as much as is needed.

The local store is the folder --store, else $CDB_STORE, $XDG_DATA_HOME/cdb or
~/.local/share/cdb. What makes the next command faster is kept in $CDB_CACHE,
$XDG_CACHE_HOME/cdb or ~/.cache/cdb, of what registries sent up to
$CDB_CACHE_SIZE. DOCKER_HOST says where Docker is, TMPDIR where temporary files
go.

The answer of a command goes to stdout, all else to stderr. Exit codes: 0 done,
1 failed, 2 wrong usage, 3 done but some inputs were left out, 130 interrupted.`,
		Example: `  cdb build photos -t photos:2024
  cdb ls photos:2024
  cdb query photos:2024 -metric size -desc -limit 10
  cdb export photos:2024 -o copy`,
		Version:                    cdb.Version,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		Args:                       knownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			a.running = true
			if a.quiet {
				a.talk.Quiet()
			}
		},
	}
	root.DisableFlagsInUseLine = true
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetUsageTemplate(usageTemplate)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("cdb {{.Version}}\n")
	root.PersistentFlags().StringVar(&a.store, "store", "", "folder of the local store")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no notes and no progress on stderr")
	_ = root.MarkPersistentFlagDirname("store") // the flag was just defined
	a.remote.define(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "make", Title: "Make:"},
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "move", Title: "Move:"},
		&cobra.Group{ID: "keep", Title: "Keep:"},
		&cobra.Group{ID: "other", Title: "Other:"},
	)
	groups := map[string][]*cobra.Command{
		"make":  {a.initCommand(), a.buildCommand(), a.generateCommand(), a.commitCommand()},
		"look":  {a.queryCommand(), a.lsCommand(), a.catCommand(), a.infoCommand(), a.verifyCommand(), a.exportCommand(), a.diffCommand(), a.logCommand()},
		"move":  {a.pushCommand(), a.pullCommand(), a.copyCommand(), a.searchCommand(), a.loginCommand(), a.logoutCommand()},
		"keep":  {a.imagesCommand(), a.tagCommand(), a.rmCommand(), a.gcCommand()},
		"other": {a.helpCommand(), a.completionCommand()},
	}
	for group, cmds := range groups {
		for _, c := range cmds {
			c.GroupID, c.DisableFlagsInUseLine = group, true
			c.SuggestFor = otherNames()[c.Name()]
			if c.Name() == "help" {
				root.SetHelpCommand(c)
			}
			root.AddCommand(c)
		}
	}
	root.AddCommand(a.docsCommand())
	return root
}
