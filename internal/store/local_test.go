package store_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/store"
)

// newLocal returns a store with the samples "x", "y" … called name:seed.
func newLocal(t testing.TB, seeds ...string) (*store.Local, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	l := must(store.OpenLocal(dir))(t)
	for _, seed := range seeds {
		newSample(t, seed).publish(t, must(l.Target("name", seed))(t))
	}
	return l, dir
}

func names(t testing.TB, l *store.Local) string {
	t.Helper()
	var all []string
	for _, i := range must(l.List(t.Context()))(t) {
		if i.Err != nil {
			t.Error(i.Err)
		}
		all = append(all, i.Name+":"+i.Tag+"="+i.Title)
	}
	return strings.Join(all, ", ")
}

// A store that was never written is empty, and reading it creates nothing.
func TestLocalMissing(t *testing.T) {
	l, dir := newLocal(t)
	if got := names(t, l); got != "" {
		t.Errorf("images %q", got)
	}
	_, err := l.Resolve(t.Context(), "name")
	if !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	wantError(t, err, "there are no images")
	if err := l.Tag(t.Context(), "name", "other", ""); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := l.Remove(t.Context(), "name"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if res, err := l.GC(t.Context(), false); res != (store.GCResult{}) || err != nil {
		t.Error(res, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
}

func TestLocalResolve(t *testing.T) {
	l, _ := newLocal(t, "latest", "v2")
	latest, v2 := newSample(t, "latest").root.Digest, newSample(t, "v2").root.Digest
	for name, want := range map[string]digest.Digest{
		"name":                         latest,
		"name:latest":                  latest,
		"docker.io/library/name:v2":    v2,
		"name:v2":                      v2,
		"name@" + string(v2):           v2,
		"name:latest@" + string(v2):    v2,
		string(latest):                 latest,
		string(latest)[:15]:            latest,
		string(v2)[:len("sha256:")+12]: v2,
	} {
		if got, err := l.Resolve(t.Context(), name); err != nil || got.Digest != want {
			t.Errorf("%s: %s, %v, want %s", name, got.Digest, err, want)
		}
	}
	_, err := l.Resolve(t.Context(), "name:v3")
	wantError(t, err, `"name:v3"`, `"name:latest", "name:v2"`)
	_, err = l.Resolve(t.Context(), "")
	wantError(t, err, "2 different images", "say which one")
	for _, none := range []string{"v2", "sha256:" + strings.Repeat("0", 20), "name@" + someDigest} {
		if _, err := l.Resolve(t.Context(), none); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", none, err)
		}
	}
}

func TestLocalList(t *testing.T) {
	l, _ := newLocal(t, "y", "x")
	if err := l.Tag(t.Context(), "name:x", "a/other", ""); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, l), "a/other:latest=title x, name:x=title x, name:y=title y"; got != want {
		t.Errorf("images %q, want %q", got, want)
	}
	s := newSample(t, "x")
	var size int64
	for _, b := range s.blobs {
		size += int64(len(b))
	}
	got := must(l.List(t.Context()))(t)[1]
	if got.Size != size || got.Desc.Digest != s.root.Digest || !got.Created.Equal(time.Date(2020, 2, 2, 20, 20, 20, 0, time.UTC)) {
		t.Errorf("image %+v, want size %d", got, size)
	}
	if got.Annotations["only.manifest"] != "amd64" {
		t.Errorf("annotations %v lack those of the first manifest", got.Annotations)
	}
}

// A name belongs to the newest image; the older one is still found by digest
// until its blobs are collected.
func TestLocalNameMoves(t *testing.T) {
	l, dir := newLocal(t)
	old, now := newSample(t, "old"), newSample(t, "new")
	old.publish(t, must(l.Target("name", ""))(t))
	before := len(files(t, dir))
	ref := now.publish(t, must(l.Target("name", ""))(t))
	if want := "name:latest@" + string(now.root.Digest); ref != want {
		t.Errorf("reference %q, want %q", ref, want)
	}
	if got, want := names(t, l), "name:latest=title new"; got != want {
		t.Errorf("images %q, want %q", got, want)
	}
	if d := must(l.Resolve(t.Context(), "name@"+string(old.root.Digest)))(t); d.Size != old.root.Size {
		t.Errorf("the old image is %+v", d)
	}
	all := files(t, dir)
	dry := must(l.GC(t.Context(), true))(t)
	if d := cmp.Diff(all, files(t, dir)); d != "" {
		t.Errorf("a dry run changed files: %s", d)
	}
	// What the two samples do not share: layer, manifests and index (the
	// configs name the layer, too).
	if dry.Blobs != 6 || dry.Bytes == 0 {
		t.Errorf("dry run: %+v", dry)
	}
	if res := must(l.GC(t.Context(), false))(t); res != dry {
		t.Errorf("collected %+v, the dry run said %+v", res, dry)
	}
	if got := len(files(t, dir)); got != before {
		t.Errorf("%d files left, want %d", got, before)
	}
	now.check(t, l)
	if _, err := l.Resolve(t.Context(), string(old.root.Digest)); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestLocalRemove(t *testing.T) {
	x := string(newSample(t, "x").root.Digest)
	for name, want := range map[string]string{
		"name:x":           "name:second, name:y, other:latest",
		"other":            "name:second, name:x, name:y",
		x:                  "name:y",
		x[:20]:             "name:y",
		"name@" + x:        "name:y, other:latest",
		"name:second@" + x: "name:x, name:y, other:latest",
		"name:y@" + x:      "error",
		"name:z":           "error",
		"name":             "error",
	} {
		l, _ := newLocal(t, "x", "y")
		for _, tag := range []string{"name:second", "other:latest"} {
			n, v, _ := strings.Cut(tag, ":")
			if err := l.Tag(t.Context(), "name:x", n, v); err != nil {
				t.Fatal(err)
			}
		}
		removed, err := l.Remove(t.Context(), name)
		if err != nil {
			if want != "error" || !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var left []string
		for _, i := range must(l.List(t.Context()))(t) {
			left = append(left, i.Name+":"+i.Tag)
		}
		if got := strings.Join(left, ", "); got != want || len(removed)+len(left) != 4 {
			t.Errorf("remove %s: %q removed, %q left, want %q", name, removed, got, want)
		}
	}
}

// While somebody builds nothing is collected: blobs that are written, or that
// the build found to be there, are not reachable yet.
func TestLocalGCDuringBuild(t *testing.T) {
	l, _ := newLocal(t, "x")
	target := must(l.Target("other", ""))(t)
	_, err := l.GC(t.Context(), true)
	if !errors.Is(err, store.ErrInUse) {
		t.Fatal(err)
	}
	wantError(t, err, "try again")
	target.Close()
	must(l.GC(t.Context(), true))(t)
}

// If an image is damaged nobody knows which blobs belong to it.
func TestLocalGCDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut off": func(path string) error { return os.Truncate(path, 10) },
		"changed": func(path string) error { return os.WriteFile(path, make([]byte, 641), 0o644) },
	} {
		l, dir := newLocal(t, "x", "y")
		root := newSample(t, "x").root
		if err := damage(filepath.Join(dir, "blobs/sha256", root.Digest.Encoded())); err != nil {
			t.Fatal(err)
		}
		all := files(t, dir)
		_, err := l.GC(t.Context(), false)
		wantError(t, err, "nothing was removed", "name:x")
		if d := cmp.Diff(all, files(t, dir)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		images := must(l.List(t.Context()))(t)
		if len(images) != 2 || images[0].Err == nil || images[1].Err != nil {
			t.Errorf("%s: images %+v", name, images)
		}
	}
}

// Blobs under construction of a build that was killed are swept; files that
// are not ours stay.
func TestLocalGCSweepsUploads(t *testing.T) {
	l, dir := newLocal(t, "x")
	writeFile(t, filepath.Join(dir, "tmp/upload-0123456789abcdef"), make([]byte, 1000))
	writeFile(t, filepath.Join(dir, "tmp/notes"), nil)
	writeFile(t, filepath.Join(dir, "blobs/sha256/README"), nil)
	if res := must(l.GC(t.Context(), false))(t); res != (store.GCResult{Bytes: 1000}) {
		t.Errorf("collected %+v", res)
	}
	for _, f := range files(t, dir) {
		if strings.Contains(f, "upload-") {
			t.Errorf("%s was left", f)
		}
	}
	for _, f := range []string{"tmp/notes", "blobs/sha256/README"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
}

// A blob that is there with another length was damaged: it is written anew.
func TestLocalRepairs(t *testing.T) {
	l, dir := newLocal(t, "x")
	s := newSample(t, "x")
	if err := os.Truncate(filepath.Join(dir, "blobs/sha256", s.order[0].Digest.Encoded()), 3); err != nil {
		t.Fatal(err)
	}
	s.publish(t, must(l.Target("name", "x"))(t))
	s.check(t, l)
}

func TestDamagedIndex(t *testing.T) {
	for content, part := range map[string]string{
		"":                    "index.json is damaged",
		"[]":                  "index.json is damaged",
		`{"schemaVersion":1}`: "schemaVersion is 1",
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../etc/passwd"}]}`:      "manifest 0",
		`{"schemaVersion":2,"manifests":[{"digest":"` + someDigest + `","size":-1}]}`: "negative size",
	} {
		l, dir := newLocal(t, "x")
		writeFile(t, filepath.Join(dir, "index.json"), []byte(content))
		_, err := l.Resolve(t.Context(), "name:x")
		wantError(t, err, dir, part)
		_, err = store.OpenLocal(dir)
		wantError(t, err, part)
		_, err = l.Target("name", "y")
		wantError(t, err, part)
		_, err = l.GC(t.Context(), false)
		wantError(t, err, part)
		if got, _ := os.ReadFile(filepath.Join(dir, "index.json")); string(got) != content {
			t.Errorf("index.json was overwritten")
		}
	}
}

func TestLocalRefusesOtherFolders(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "precious"), nil)
	l := must(store.OpenLocal(dir))(t)
	_, err := l.Target("name", "")
	wantError(t, err, "other files")
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files %q", got)
	}
	_, err = store.OpenLocal(file)
	wantError(t, err, "not a folder")
	for _, name := range []string{"Upper", "a b", "../x", ""} {
		if _, err := must(store.OpenLocal(filepath.Join(dir, "new")))(t).Target(name, ""); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
}

// Two builds write the same and different images into one store at once.
func TestLocalTwoBuilds(t *testing.T) {
	l, dir := newLocal(t)
	a, b := must(l.Target("name", "a"))(t), must(l.Target("name", "b"))(t)
	same, other := newSample(t, "same"), newSample(t, "other")
	for i := range same.order {
		x, y := must(a.Create(t.Context()))(t), must(b.Create(t.Context()))(t)
		x.Write(same.blobs[same.order[i].Digest])
		y.Write(same.blobs[same.order[i].Digest])
		for _, u := range []store.Upload{x, y} {
			if err := u.Commit(t.Context(), same.order[i].Digest, same.order[i].Size); err != nil {
				t.Fatal(err)
			}
		}
	}
	same.publish(t, a)
	other.publish(t, b)
	if got, want := names(t, l), "name:a=title same, name:b=title other"; got != want {
		t.Errorf("images %q, want %q", got, want)
	}
	same.check(t, l)
	other.check(t, l)
	if _, err := os.Stat(filepath.Join(dir, "tmp")); err == nil {
		t.Error("the folder tmp was left")
	}
}

// TestKilledBuild kills a process in the middle of its build: no image is
// visible, the store is not locked, and the next collection cleans up.
func TestKilledBuild(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_KILL"); dir != "" {
		target := must(must(store.OpenLocal(dir))(t).Target("killed", ""))(t)
		newSample(t, "killed").write(t, target)
		u := must(target.Create(t.Context()))(t)
		io.WriteString(u, "half a blob")
		os.Stdout.WriteString("ready\n")
		time.Sleep(time.Minute)
	}
	l, dir := newLocal(t, "x")
	before := files(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledBuild$")
	cmd.Env = append(os.Environ(), "STORE_TEST_KILL="+dir)
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, err := l.GC(t.Context(), false)
	cmd.Process.Kill()
	cmd.Wait()
	if line != "ready\n" {
		t.Fatalf("the build said %q", line)
	}
	if !errors.Is(err, store.ErrInUse) {
		t.Errorf("collection during the build: %v", err)
	}
	if got, want := names(t, l), "name:x=title x"; got != want {
		t.Errorf("images %q, want %q", got, want)
	}
	if res := must(l.GC(t.Context(), false))(t); res.Blobs == 0 {
		t.Errorf("collected %+v", res)
	}
	if d := cmp.Diff(before, files(t, dir)); d != "" {
		t.Errorf("files: %s", d)
	}
}
