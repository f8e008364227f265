package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mountTmpfs puts an empty file system of size bytes on dir.
func mountTmpfs(t testing.TB, dir string, size int64) {
	t.Helper()
	needRoot(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk: mount tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
}

// unmount takes a file system away, as long as it is there, whoever uses it.
func unmount(dir string) { _ = unix.Unmount(dir, unix.MNT_DETACH) }

// resize changes the size of a tmpfs.
func resize(t testing.TB, dir string, size int64) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
}

// A disk is an ext4 file system in a file.
type disk struct {
	testing.TB
	file, dir string
}

// newDisk makes a disk of size bytes and mounts it on dir.
func newDisk(t testing.TB, dir string, size int64, flags ...string) *disk {
	t.Helper()
	needRoot(t)
	d := &disk{t, filepath.Join(t.TempDir(), "disk"), dir}
	f, err := os.Create(d.file)
	if err == nil {
		err = f.Truncate(size)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := d.tool("mkfs.ext4", append(flags, "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file)...); err != nil {
		t.Skipf("a real disk: mkfs.ext4: %v %s", err, out)
	}
	if out, err := d.tool("mount", "-o", "loop", d.file, d.dir); err != nil {
		t.Skipf("a real disk: mount a loop device: %v %s", err, out)
	}
	t.Cleanup(func() { unmount(dir) })
	return d
}

// tool runs a program of the system, also where only root's PATH looks.
func (d *disk) tool(name string, args ...string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if p := filepath.Join(dir, name); exec.Command("test", "-x", p).Run() == nil {
				name = p
				break
			}
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// mount mounts the disk again.
func (d *disk) mount() {
	d.Helper()
	if out, err := d.tool("mount", "-o", "loop", d.file, d.dir); err != nil {
		d.Fatalf("mount: %v %s", err, out)
	}
}

// unmount takes the disk out properly.
func (d *disk) unmount() {
	d.Helper()
	if out, err := d.tool("umount", d.dir); err != nil {
		d.Fatalf("umount: %v %s", err, out)
	}
}

// The request to shut a file system down without writing anything more, as if
// the power had gone: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
const (
	shutdownRequest = 0x8004587d
	noLogFlush      = 2
)

// cutPower makes every further access to the disk an error, and what was not
// synced is lost.
func (d *disk) cutPower() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), shutdownRequest, noLogFlush)
}

// space returns the size of a file system and what is free, in bytes.
func space(t testing.TB, dir string) (total, free int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks) * int64(st.Bsize), int64(st.Bfree) * int64(st.Bsize)
}

func byteSize(n int64) string { return fmt.Sprintf("%dKiB", n/kib) }
