package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A usage is what one run cost.
type usage struct {
	Wall, CPU time.Duration
	Peak      int64 // memory of the largest process in bytes
	Floor     int64 // peaks up to this one are that of the bench itself
	Output    int64 // bytes
}

// plus is what two commands cost one after the other.
func (u usage) plus(v usage) usage {
	return usage{
		Wall: u.Wall + v.Wall, CPU: u.CPU + v.CPU,
		Peak: max(u.Peak, v.Peak), Floor: max(u.Floor, v.Floor),
		Output: u.Output + v.Output,
	}
}

func (u usage) String() string {
	return fmt.Sprintf("%s wall, %s CPU, %s", seconds(u.Wall), seconds(u.CPU), u.peak())
}

// peak is the memory of the largest process as text.
func (u usage) peak() string {
	if u.Peak <= u.Floor {
		return "≤ " + binary(u.Floor)
	}
	return binary(u.Peak)
}

// median takes the middle of each time, and the largest memory.
func median(runs []usage) usage {
	var wall, cpu []time.Duration
	var m usage
	for _, u := range runs {
		wall, cpu = append(wall, u.Wall), append(cpu, u.CPU)
		m.Peak, m.Floor, m.Output = max(m.Peak, u.Peak), max(m.Floor, u.Floor), u.Output
	}
	m.Wall, m.CPU = middle(wall), middle(cpu)
	return m
}

// middle returns the median; of an even number the mean of the two middle ones.
func middle(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// command is a program to be measured. Its output goes to the null device.
func command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// measure runs commands as one pipeline and waits for all of them. CPU is that
// of all processes and the children they waited for.
func measure(cmds ...*exec.Cmd) (usage, error) {
	errs := make([]tail, len(cmds))
	var ends []*os.File
	defer func() { closeAll(ends) }()
	for i, c := range cmds {
		c.Stderr = &errs[i]
		if i > 0 {
			r, w, err := os.Pipe()
			if err != nil {
				return usage{}, err
			}
			cmds[i-1].Stdout, c.Stdin = w, r
			ends = append(ends, r, w)
		}
	}
	u := usage{Floor: shrink()}
	begin := time.Now()
	started := 0
	var failed error
	for _, c := range cmds {
		if failed = c.Start(); failed != nil {
			break
		}
		started++
	}
	// Only the commands may hold the pipes, or none would see their end.
	closeAll(ends)
	ends = nil
	for i, c := range cmds[:started] {
		if err := c.Wait(); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, errs[i].gist())
		}
	}
	u.Wall = time.Since(begin)
	if failed != nil {
		return usage{}, failed
	}
	for _, c := range cmds {
		used := c.ProcessState.SysUsage().(*syscall.Rusage)
		u.CPU += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		u.Peak = max(u.Peak, used.Maxrss*1024)
	}
	return u, nil
}

// sequence measures commands one after the other.
func sequence(cmds ...*exec.Cmd) (usage, error) {
	var sum usage
	for _, c := range cmds {
		u, err := measure(c)
		if err != nil {
			return usage{}, err
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// shrink makes the memory of this process small, and returns it: Linux counts
// the memory of a process from before its exec, which is that of the parent.
func shrink() int64 {
	debug.FreeOSMemory()
	if resetPeak("self") != nil {
		return 0
	}
	peak, err := peakOf("self")
	if err != nil {
		return 0
	}
	return peak
}

// resetPeak makes the peak memory of a process that which it has now.
func resetPeak(pid string) error {
	return os.WriteFile("/proc/"+pid+"/clear_refs", []byte("5"), 0)
}

// peakOf returns the peak memory of a process in bytes.
func peakOf(pid string) (int64, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("peak memory of process %s: no VmHWM", pid)
}

// treeBytes adds up the sizes of all regular files below dir.
func treeBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// A tail keeps the end of what a program says.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text) - 4096; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// gist is the last line that speaks of an error, else the last line.
func (t *tail) gist() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, line := range slices.Backward(lines) {
		if strings.Contains(strings.ToLower(line), "error") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// output runs a program that is not measured, for its answer.
func output(c *exec.Cmd) (string, error) {
	var said tail
	if c.Stderr == nil {
		c.Stderr = &said
	}
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, said.gist())
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}
