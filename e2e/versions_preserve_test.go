package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// owned changes what only --preserve keeps: owners, all modes, attributes. (The times of the evolution have
// nanoseconds anyway.)
func owned(s source, n int) {
	s.t.Helper()
	chown := func(name string, id int) { must(s.t, os.Lchown(s.path(name), id, id+1)) }
	note := func(name, text string) {
		must(s.t, syscall.Setxattr(s.path(name), "user.note", []byte(text), 0))
	}
	switch {
	case n == 0:
		s.mode(0o600, "kept", "album/a")
		s.mode(fs.ModeSetuid|0o755, "hard/one")
		s.mode(fs.ModeSticky|0o777, "bare")
		s.mode(0o700, "album")
		chown("album", 1000)
		chown("link", 1001)
		chown("hard/a", 1002)
	case n%3 == 1:
		note("kept", fmt.Sprintf("version %d\n\x00\xff", n))
		chown("kept", 2000+n)
	case n%3 == 2 && n < 9:
		s.mode(fs.ModeSetgid|0o750, "album", "hard")
		note("names", fmt.Sprintf("version %d", n))
		chown("names/\xff\xfe", 70000+n)
	case n == 3:
		must(s.t, syscall.Removexattr(s.path("kept"), "user.note"))
	}
}

// exactly lists what a file system shows, nanoseconds and owners included, and with notes an attribute too.
func exactly(t *testing.T, root string, notes bool) listing {
	t.Helper()
	l := listing{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		note := ""
		if notes && d.Type() != fs.ModeSymlink {
			value := make([]byte, 100)
			if n, err := syscall.Getxattr(p, "user.note", value); err == nil {
				note = string(value[:n])
			}
		}
		l["/"+strings.TrimPrefix(p[len(root):], "/")] =
			fmt.Sprintf("%v %d:%d %d %q", info.Mode(), st.Uid, st.Gid, info.ModTime().UnixNano(), note)
		return nil
	}))
	return l
}

// TestClientsKeepWhatIsPreserved follows owners, modes, attributes and nanoseconds through the versions, compressed
// with zstd.
func TestClientsKeepWhatIsPreserved(t *testing.T) {
	t.Parallel()
	podman := clienttest.Podman(t)
	h := &history{cdb: clienttest.CDB(t), args: []string{"--preserve", "--compression", "zstd"}}
	h.live(t, evolution, owned)
	for i, v := range h.versions {
		t.Run(evolution[i].name, func(t *testing.T) {
			podman.Run(t, "load", "--quiet", "--input", v.file)
			folder := strings.TrimSpace(podman.Run(t, "image", "mount", v.name)) + "/data"
			v.mounted(t, folder)
			sameTree(t, exactly(t, folder, true), exactly(t, v.folder, true))
			podman.Run(t, "image", "unmount", v.name)
			podman.Run(t, "run", "--rm", v.name, "-verify")

			to := filepath.Join(t.TempDir(), "out")
			h.cdb.Run(t, "export", v.name, "--owners", "-o", to)
			sameTree(t, exactly(t, to, false), exactly(t, v.folder, false))
		})
	}
}
