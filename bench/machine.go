package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A fact is a line of the description of a machine.
type fact struct{ name, value string }

// goVersion and goRoot are those of the go program in the PATH, else of the
// one that built the bench.
func goVersion() string {
	v, err := output(exec.Command("go", "env", "GOVERSION"))
	if err != nil {
		return runtime.Version()
	}
	return v
}

func goRoot() string {
	dir, err := output(exec.Command("go", "env", "GOROOT"))
	if err != nil || dir == "" {
		return "/usr/local/go"
	}
	return dir
}

// describeMachine says what the numbers were measured on.
func describeMachine(ctx context.Context, cdb, dir string) []fact {
	cpu := fieldOf("/proc/cpuinfo", "model name")
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	if strings.Contains(fieldOf("/proc/cpuinfo", "flags")+" ", " hypervisor ") {
		cpu += " (a virtual machine)"
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	facts := []fact{
		{"Date", time.Now().UTC().Format(time.DateOnly)},
		{"Processor", fmt.Sprintf("%s, %d cores", cpu, runtime.NumCPU())},
		{"Memory", memory()},
		{"System", strings.Trim(fieldOf("/etc/os-release", "PRETTY_NAME"), `"`) + ", Linux " + strings.TrimSpace(string(kernel))},
		{"File system", fileSystem(dir)},
		{"Go", goVersion()},
	}
	for _, tool := range append([][]string{
		{cdb, "--version"}, {"docker", "--version"}, {"dockerd", "--version"}, {"buildah", "--version"},
		{"tar", "--version"}, {"pigz", "--version"}, {"zstd", "--version"}, {"mksquashfs", "-version"},
		{"restic", "version"},
	}, registryTools()...) {
		facts = append(facts, fact{filepath.Base(tool[0]), firstLine(ctx, tool)})
	}
	return facts
}

// firstLine is what a program says about its version.
func firstLine(ctx context.Context, args []string) string {
	if _, err := exec.LookPath(args[0]); err != nil {
		return "not installed"
	}
	// Some print their version and fail; some print it as an error.
	text, _ := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.Trim(line, "* ")
}

// fieldOf returns the value after the first "name:" or "name=" in a file.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if i := strings.IndexAny(line, ":="); i > 0 && strings.TrimSpace(line[:i]) == name {
			return strings.TrimSpace(line[i+1:])
		}
	}
	return ""
}

func memory() string {
	var kib int64
	if _, err := fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return "unknown"
	}
	return binary(kib * 1024)
}

// fileSystem is the type of the file system that dir lies on.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	kind, longest := "unknown", -1
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if strings.HasPrefix(dir+"/", point+"/") && len(point) >= longest {
			kind, longest = fields[2], len(point)
		}
	}
	return kind
}
