package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/clienttest"
	"github.com/data-containers/cdb/internal/distribution"
)

// Everything passes the relay, in both directions, and is counted.
func TestRelay(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		asked, _ := io.ReadAll(conn) // until the client has ended
		conn.Write(bytes.Repeat(asked, 3))
	}()
	r, err := newRelay(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(make([]byte, 100_000))
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil || len(answer) != 300_000 || r.up.Load() != 100_000 || r.down.Load() != 300_000 {
		t.Errorf("%d bytes came, %v; counted %d up, %d down", len(answer), err, r.up.Load(), r.down.Load())
	}
	idle, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	r.close() // ends what is idle, too
	if _, err := net.Dial("tcp", r.address); err == nil {
		t.Error("a relay that is closed accepts connections")
	}
}

// The mixed files are of the size that they say to be, and always the same.
func TestMixedFiles(t *testing.T) {
	b := &bench{options: options{dir: t.TempDir(), tiny: true, quick: true}}
	c := b.mixedFiles()
	if err := b.ensure(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if want := int64(128<<20) / 100; c.bytes < want-12 || c.bytes > want+10_000 || c.files != 12+3 {
		t.Errorf("%d files with %d bytes, want 15 with %d or a little more", c.files, c.bytes, want)
	}
	again := t.TempDir()
	if err := writeMixed(t.Context(), again, 128<<20/100); err != nil {
		t.Fatal(err)
	}
	for name, text := range contents(t, again) {
		rest := strings.TrimPrefix(name, again)
		if old, err := os.ReadFile(c.path + rest); err != nil || string(old) != text {
			t.Errorf("%s is another one the second time: %v", rest, err)
		}
	}
}

// An image of one layer is one that other tools take.
func TestSingleLayer(t *testing.T) {
	src, layout := folder(t), filepath.Join(t.TempDir(), "layout")
	if err := singleLayer(t.Context(), src, layout); err != nil {
		t.Fatal(err)
	}
	layers, err := layersOf(layout)
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers %v, %v", layers, err)
	}
	to := t.TempDir()
	if err := unpackLayer(blobPath(layout, layers[0]), to); err != nil {
		t.Fatal(err)
	}
	if n, _ := differing(relative(contents(t, src), src), relative(contents(t, filepath.Join(to, "data")), filepath.Join(to, "data"))); n != 0 {
		t.Errorf("%d files are not as they were", n)
	}
	if err := singleLayer(t.Context(), filepath.Join(src, "absent"), filepath.Join(to, "layout")); err == nil {
		t.Error("no folder, and no error")
	}
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed")
	}
	text, err := output(exec.CommandContext(t.Context(), "skopeo", "inspect", "oci:"+layout))
	var said struct{ Layers []string }
	if err == nil {
		err = json.Unmarshal([]byte(text), &said)
	}
	if err != nil || len(said.Layers) != 1 || said.Layers[0] != layers[0].Digest {
		t.Errorf("skopeo says %+v, %v", said, err)
	}
}

func relative(list map[string]string, dir string) map[string]string {
	to := map[string]string{}
	for name, text := range list {
		to[strings.TrimPrefix(name, dir)] = text
	}
	return to
}

// All that is measured with registries, with next to nothing.
func TestRegistries(t *testing.T) {
	if _, err := exec.LookPath(distribution.Program); err != nil {
		t.Skip(distribution.Program + " is not installed")
	}
	cdb := clienttest.CDB(t)
	dir := t.TempDir()
	b := &bench{out: io.Discard, work: filepath.Join(dir, "work"), options: options{
		cdb: cdb.Path, dir: dir, tiny: true, quick: true, runs: 1, only: "registry"}}
	if err := os.Mkdir(b.work, 0o755); err != nil {
		t.Fatal(err)
	}
	defer b.close()
	n, err := newLoopback(b.work)
	if err != nil {
		t.Fatal(err)
	}
	b.stops = append(b.stops, n.close)
	movers := []*mover{b.cdbMover()}
	if m := b.skopeoMover(); b.works(t.Context(), &m.tool) {
		movers = append(movers, m)
	}
	if err := b.measureOver(t.Context(), []*network{n}, movers); err != nil {
		t.Fatal(err)
	}
	r := b.report.registries
	for _, m := range r.moves {
		for _, row := range m.rows {
			if row.err != nil || len(row.pushes) != 1 || len(row.pulls) != 1 {
				t.Errorf("%s, %s: %d pushes, %d pulls, %v", m.name, row.name, len(row.pushes), len(row.pulls), row.err)
			} else if row.pushes[0].Requests < 5 || row.pulls[0].Requests < 3 {
				t.Errorf("%s, %s: %d requests to push, %d to pull", m.name, row.name, row.pushes[0].Requests, row.pulls[0].Requests)
			}
		}
	}
	first, ok := r.versions[0].row(firstPush, "cdb push")
	again, ok2 := r.versions[0].row(fewPushed, "cdb push")
	if !ok || !ok2 || again.Up == 0 || again.Up > first.Up/10 {
		t.Errorf("the first push sent %d bytes, the one after a change %d", first.Up, again.Up)
	}
	for _, q := range r.remotes {
		for _, u := range q.uses {
			if u.cold.bytes() == 0 || u.cold.bytes() > q.pulls[0].bytes()/10 || u.warm.bytes() > u.cold.bytes() {
				t.Errorf("%s, %s: %d bytes, again %d; a pull takes %d", q.name, u.name, u.cold.bytes(), u.warm.bytes(), q.pulls[0].bytes())
			}
		}
	}
	if len(r.builds) != 2 {
		t.Errorf("%d comparisons of build and push", len(r.builds))
	}
	left, err := os.ReadDir(b.work)
	for _, e := range left {
		if e.Name() != "cache" && !strings.HasPrefix(e.Name(), "registry") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestRegistryTables(t *testing.T) {
	took := func(s float64, up, down int64) transfer {
		return transfer{usage: usage{Wall: time.Duration(s * float64(time.Second))}, Up: up, Down: down, Requests: 7}
	}
	mover := func(name string, once bool) *mover {
		return &mover{tool: tool{name: name, note: "note of " + name}, once: once}
	}
	c := corpus{name: "2 files", about: "two files", files: 2, bytes: 1000}
	r := &report{options: options{only: "registry"}, registries: &registryResult{
		moves: []*moveResult{{corpus: c, network: "a line", image: 5 << 20, rows: []moveRow{
			{mover: mover("cdb", false), pushes: []transfer{took(2, 1<<20, 1<<10)}, pulls: []transfer{took(1, 0, 0), took(3, 0, 0)}},
			{mover: mover("skopeo", false), pushes: []transfer{took(1, 1<<20, 1<<10)}, pulls: []transfer{took(4, 0, 0)}},
			{mover: mover("docker", true), pushes: []transfer{took(0.5, 1, 1)}, pulls: []transfer{took(0.5, 1, 1)}},
			{mover: mover("crane", false), err: errors.New("no network")},
		}}},
		versions: []*versionPushes{{corpus: c, network: "a line", steps: []pushStep{
			{name: firstPush, rows: []pushRow{{name: "cdb push", transfer: took(9, 1000, 1)}, {name: "skopeo, one layer", transfer: took(9, 500, 1)}}},
			{name: fewPushed, change: change{1, 10, 1}, rows: []pushRow{{name: "cdb push", transfer: took(1, 30, 1)},
				{name: "skopeo, one layer", err: errors.New("no layer")}}},
		}}},
		remotes: []*remoteResult{{corpus: c, network: "a line", pulls: []pushRow{{name: "cdb pull", transfer: took(10, 1, 999)}},
			uses: []remoteUse{{name: readOneFile, cold: took(2, 2, 8), warm: took(1, 1, 1)}}}},
		builds: []buildPush{{corpus: c, network: "a line", one: took(3, 0, 0), build: took(2, 0, 0), push: took(2, 0, 0)}},
	}}
	text := r.document()
	for _, want := range []string{
		"a push sends less than 2 % of the first one | **not met** | 2 files, a line: 30 bytes of 1000 bytes, 3.00 % |",
		"50 times fewer bytes than pulling | met | 2 files, a line: 10 bytes against 1000 bytes, 100× |",
		"not slower than the fastest of `skopeo` and `crane` (10 % for noise) | **not met** | 2 files, a line, push: 0.50× (skopeo); 2 files, a line, pull: 2.00× (skopeo) |",
		"is not slower than build and push (10 % for noise) | met | 2 files, a line: 1.33× |",
		"| skopeo | 1.00 s | 0.50× | 0.0 ms | - | ≤ 0 bytes | 1.0 MiB | 1 KiB | 7 |",
		"- crane failed: no network\n", "- docker: note of docker\n",
		"| 1 % changed, in few folders | cdb push | 1.00 s | 1.00× | 30 bytes | 1.00× | 3.00 % | 1 bytes | 7 |",
		"- skopeo, one layer failed at \"1 % changed, in few folders\": no layer\n",
		"| `cdb cat FILE` | 2.00 s | 5.00× | 10 bytes | 100× | 7 | 1.00 s | 2 bytes | 7 |",
		"| 2 files | a line | 3.00 s | 4.00 s | 1.33× |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "docker build") {
		t.Errorf("speaks of what was not measured:\n%s", text)
	}
}
