// Cdb turns folders into data containers, and answers questions about them.
package main

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/data-containers/cdb/internal/ui"
)

// The entrypoints of images, put there by "make build".
//
//go:embed entrypoints
var embedded embed.FS

func main() {
	entrypoints, err := fs.Sub(embedded, "entrypoints")
	if err != nil {
		panic(err) // the name is a constant
	}
	os.Exit(run(entrypoints))
}

// run is the command line of this process. The first signal asks the command
// to end, which leaves nothing half-written behind; a second one is obeyed at
// once.
func run(entrypoints fs.FS) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(ui.ExitInterrupted)
	}()
	a := &app{
		stdout:      os.Stdout,
		stdoutTTY:   ui.IsTerminal(os.Stdout),
		stderr:      os.Stderr,
		talk:        ui.NewTalk(os.Stderr, "cdb"),
		getenv:      os.Getenv,
		entrypoints: entrypoints,
	}
	return a.execute(ctx, os.Args[1:])
}
