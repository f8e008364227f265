package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A daemon is a private Docker daemon and its containerd.
type daemon struct {
	dir  string
	env  []string
	pids []string
	stop func()
}

// imageName is what every build in Docker is called.
const imageName = "cdb-bench"

// startDaemon starts a Docker daemon in a folder that is empty or not there. It
// ends with this process at the latest. config is its daemon.json.
func startDaemon(ctx context.Context, dir, config string) (*daemon, error) {
	script, err := filepath.Abs("scripts/dockerd.sh")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir}
	begin := exec.CommandContext(ctx, script, "start", d.dir)
	begin.Env = append(os.Environ(), "DOCKERD_CONFIG="+config)
	said, err := output(begin)
	if err != nil {
		return nil, fmt.Errorf("no private Docker daemon: %w", err)
	}
	guard := exec.Command(script, "guard", d.dir)
	// Ctrl-C is for the bench, which then ends the guard.
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	held, err := guard.StdinPipe()
	if err == nil {
		err = guard.Start()
	}
	if err != nil {
		output(exec.Command(script, "stop", d.dir))
		return nil, fmt.Errorf("guard the Docker daemon: %w", err)
	}
	d.stop = func() {
		io.Closer(held).Close()
		if err := guard.Wait(); err != nil {
			say("stop the Docker daemon: %v", err)
		}
	}
	d.env = append(os.Environ(), said, "DOCKER_CONFIG="+filepath.Join(d.dir, "config"), "DOCKER_CONTEXT=")
	for _, name := range []string{"dockerd.pid", "containerd.pid"} {
		pid, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			d.stop()
			return nil, err
		}
		d.pids = append(d.pids, strings.TrimSpace(string(pid)))
	}
	return d, nil
}

func (d *daemon) docker(ctx context.Context, args ...string) *exec.Cmd {
	c := command(ctx, append([]string{"docker"}, args...)...)
	c.Env = d.env
	return c
}

// build is docker build of src with the classic builder ("0") or BuildKit ("1").
func (d *daemon) build(ctx context.Context, buildkit, file, src string, flags ...string) *exec.Cmd {
	args := append([]string{"build", "-q", "-t", imageName, "-f", file}, flags...)
	c := d.docker(ctx, append(args, src)...)
	c.Env = append(c.Env[:len(c.Env):len(c.Env)], "DOCKER_BUILDKIT="+buildkit)
	return c
}

// imageSize is the size of the built image, which Docker keeps uncompressed.
func (d *daemon) imageSize(ctx context.Context) (int64, error) {
	text, err := output(d.docker(ctx, "image", "inspect", "-f", "{{.Size}}", imageName))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// forget removes the built image and whatever could make the next build cheaper.
func (d *daemon) forget(ctx context.Context) error {
	if _, err := output(d.docker(ctx, "rmi", "-f", imageName)); err != nil {
		return err
	}
	_, err := output(d.docker(ctx, "system", "prune", "-a", "-f"))
	if err == nil {
		_, err = output(d.docker(ctx, "builder", "prune", "-a", "-f"))
	}
	return err
}

// measure runs a client and adds what the daemon did meanwhile.
func (d *daemon) measure(client *exec.Cmd) (usage, error) {
	before := d.cpu()
	for _, pid := range d.pids {
		if err := resetPeak(pid); err != nil {
			return usage{}, fmt.Errorf("reset peak memory of the Docker daemon: %w", err)
		}
	}
	watch := watchPeak(d.pids)
	u, err := measure(client)
	peak := watch()
	u.CPU += d.cpu() - before
	u.Peak = max(u.Peak, peak)
	return u, err
}

// cpu is the time that the daemon has used, with the helpers that have ended.
func (d *daemon) cpu() time.Duration {
	var ticks int64
	for _, pid := range d.pids {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		ticks += cpuTicks(string(stat))
	}
	return time.Duration(ticks) * time.Second / 100
}

// cpuTicks adds up utime, stime, cutime and cstime of a line of /proc/PID/stat,
// in hundredths of a second. The name of the process may hold anything.
func cpuTicks(stat string) int64 {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var sum int64
	for i := 11; i <= 14 && i < len(fields); i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err == nil {
			sum += n
		}
	}
	return sum
}

// watchPeak follows the memory of processes and of their children until the
// returned function is called, which returns the largest peak.
func watchPeak(pids []string) func() int64 {
	var peak int64
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, pid := range pids {
				peak = max(peak, peakBelow(pid))
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() int64 {
		close(done)
		ended.Wait()
		for _, pid := range pids {
			peak = max(peak, peakBelow(pid))
		}
		return peak
	}
}

// peakBelow is the peak memory of a process or one of its children that live.
func peakBelow(pid string) int64 {
	peak, err := peakOf(pid)
	if err != nil {
		return 0
	}
	lists, err := filepath.Glob("/proc/" + pid + "/task/*/children")
	if err != nil {
		return peak
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(children)) {
			peak = max(peak, peakBelow(child))
		}
	}
	return peak
}

// dockerTool is docker build of two lines: FROM scratch and COPY.
func dockerTool(name, buildkit, note string) *tool {
	t := &tool{name: name, note: note, needs: []string{"docker", "dockerd", "containerd"}, daemon: true}
	var d *daemon
	file := ""
	t.start = func(ctx context.Context, docker *daemon) error {
		d = docker
		file = filepath.Join(d.dir, "trial"+buildkit, "Dockerfile")
		err := writeFiles(filepath.Dir(file), map[string]string{"Dockerfile": "FROM scratch\nCOPY . /data\n", "src/file": "trial"})
		if err == nil {
			_, err = t.run(ctx, filepath.Join(filepath.Dir(file), "src"), "")
		}
		if err == nil {
			err = d.forget(ctx)
		}
		return err
	}
	t.run = func(ctx context.Context, src, _ string) (usage, error) {
		syscall.Sync()
		return d.measure(d.build(ctx, buildkit, file, src, "--no-cache"))
	}
	t.size = func(ctx context.Context) (int64, error) { return d.imageSize(ctx) }
	t.clean = func(ctx context.Context) error { return d.forget(ctx) }
	return t
}

// cdbDaemonTool is cdb with the same result as docker build: an image in Docker.
func (b *bench) cdbDaemonTool() *tool {
	t := &tool{name: "cdb build, into Docker", note: "`-o docker-daemon:`, so that the image is where docker build puts it; client and daemon",
		needs: []string{"docker", "dockerd", "containerd"}, daemon: true}
	var d *daemon
	t.start = func(_ context.Context, docker *daemon) error {
		d = docker
		return nil
	}
	t.run = func(ctx context.Context, src, _ string) (usage, error) {
		c := b.cdbCommand(ctx, "build", "-q", src, "-o", "docker-daemon:"+imageName)
		c.Env = append(c.Env, d.env...)
		syscall.Sync()
		return d.measure(c)
	}
	t.size = func(ctx context.Context) (int64, error) { return d.imageSize(ctx) }
	t.clean = func(ctx context.Context) error { return d.forget(ctx) }
	return t
}
