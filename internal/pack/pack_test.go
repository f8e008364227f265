package pack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

// An output is a blob in memory.
type output struct {
	bytes.Buffer
	failAt int // fail the write that passes this length, if not 0
}

func (o *output) Rewind(size int64) error {
	o.Truncate(int(size))
	return nil
}

var errFull = errors.New("disk full")

func (o *output) Write(p []byte) (int, error) {
	if o.failAt > 0 && o.Len()+len(p) > o.failAt {
		return 0, errFull
	}
	return o.Buffer.Write(p)
}

var compressions = []pack.Compression{pack.Gzip, pack.Zstd, pack.None}

// sample returns entries with contents that shrink and contents that do not.
func sample(seed uint64, n int) []file {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var files []file
	for i := range n {
		data := make([]byte, rnd.IntN(5000))
		if i%2 == 0 {
			for j := range data {
				data[j] = byte(rnd.Uint32())
			}
		}
		files = append(files, file{fmt.Sprintf("data/%04d", i), data})
	}
	return files
}

type file struct {
	name string
	data []byte
}

func write(t testing.TB, w *pack.Writer, files []file) (offsets []int64) {
	t.Helper()
	for _, f := range files {
		e := tree.Entry{Type: tree.File, Mode: 0o644, Size: int64(len(f.data)), ModTime: time.Unix(1e9, 0)}
		if err := w.Header(f.name, &e); err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, w.Offset())
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	return offsets
}

func build(t testing.TB, files []file, opts pack.WriterOptions) (*output, *pack.Info, []int64) {
	t.Helper()
	out := &output{}
	w, err := pack.NewWriter(t.Context(), out, opts)
	if err != nil {
		t.Fatal(err)
	}
	offsets := write(t, w, files)
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out, info, offsets
}

func open(t testing.TB, blob []byte, info *pack.Info, c pack.Compression) *pack.Reader {
	t.Helper()
	if c != pack.None {
		r, err := pack.OpenBlob(t.Context(), pack.Source{Name: "test", Blob: bytes.NewReader(blob), Compression: c}, int64(len(blob)), nil, pack.NewCache(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	index, err := info.Table.Index(int64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pack.NewReader(pack.Source{
		Name: "test", Blob: bytes.NewReader(blob), Compression: c,
		FrameSize: info.Table.FrameSize, TarSize: info.Table.TarSize, Frame: index,
	}, pack.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Any file of a pack is had at its offset, and to every other reader the pack
// is a plain tar.
func TestRoundTrip(t *testing.T) {
	files := sample(1, 300)
	for _, c := range compressions {
		t.Run(string(c), func(t *testing.T) {
			out, info, offsets := build(t, files, pack.WriterOptions{Compression: c, FrameSize: 10_000, Workers: 3})
			if got := digest.FromBytes(out.Bytes()); got != info.Digest || info.Size != int64(out.Len()) {
				t.Errorf("blob is %s, %d bytes; info says %s, %d", got, out.Len(), info.Digest, info.Size)
			}
			r := open(t, out.Bytes(), info, c)
			for i, f := range files {
				got := make([]byte, len(f.data))
				if _, err := r.ReadAt(got, offsets[i]); err != nil || !bytes.Equal(got, f.data) {
					t.Fatalf("%s at %d differs: %v", f.name, offsets[i], err)
				}
			}
			plain, err := pack.Decompress(bytes.NewReader(out.Bytes()), c)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.New()
			checkTar(t, io.TeeReader(plain, sum), files)
			if got := digest.NewDigest(digest.SHA256, sum); got != info.DiffID {
				t.Errorf("diffID %s, tar stream is %s", info.DiffID, got)
			}
		})
	}
}

func checkTar(t *testing.T, r io.Reader, files []file) {
	t.Helper()
	tr := tar.NewReader(r)
	for _, f := range files {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil || h.Name != f.name || !bytes.Equal(data, f.data) {
			t.Fatalf("tar has %q with %d bytes, want %q with %d: %v", h.Name, len(data), f.name, len(f.data), err)
		}
	}
	if _, err := tr.Next(); err != io.EOF {
		t.Fatalf("tar goes on: %v", err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
}

// The programs that people have read packs, table and all.
func TestOtherDecompressors(t *testing.T) {
	for c, program := range map[pack.Compression]string{pack.Gzip: "gzip", pack.Zstd: "zstd"} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("%s is not installed", program)
			}
			files := sample(2, 100)
			out, _, _ := build(t, files, pack.WriterOptions{Compression: c, FrameSize: 7000})
			cmd := exec.Command(program, "-dc")
			cmd.Stdin = bytes.NewReader(out.Bytes())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			tarball, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Fatalf("%s: %v: %s", program, err, stderr.String())
			}
			checkTar(t, bytes.NewReader(tarball), files)
		})
	}
}

// The number of workers does not show in the result.
func TestDeterministic(t *testing.T) {
	files := sample(3, 200)
	for _, c := range compressions {
		a, _, _ := build(t, files, pack.WriterOptions{Compression: c, FrameSize: 4096, Workers: 1})
		b, _, _ := build(t, files, pack.WriterOptions{Compression: c, FrameSize: 4096, Workers: 8})
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: packs of 1 and 8 workers differ", c)
		}
	}
}

// What is taken back leaves no trace, wherever in a frame it began or ended.
func TestRewind(t *testing.T) {
	good := sample(4, 60)
	bad := sample(5, 40)
	for _, c := range compressions {
		want, _, _ := build(t, good, pack.WriterOptions{Compression: c, FrameSize: 3000})
		out := &output{}
		w, err := pack.NewWriter(t.Context(), out, pack.WriterOptions{Compression: c, FrameSize: 3000})
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range good {
			if err := w.Mark(); err != nil {
				t.Fatal(err)
			}
			for range i % 3 {
				write(t, w, bad[:i%40])
				e := tree.Entry{Type: tree.File, Size: 100_000}
				if err := w.Header("half", &e); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, i*100)); err != nil {
					t.Fatal(err)
				}
				if err := w.Rewind(); err != nil {
					t.Fatal(err)
				}
			}
			write(t, w, []file{f})
		}
		info, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want.Bytes()) || digest.FromBytes(out.Bytes()) != info.Digest {
			t.Errorf("%s: a pack with rewinds differs from one without", c)
		}
	}
}

// An error of the output, or the end of the context, comes back from the
// writer, and no goroutine hangs.
func TestWriterFails(t *testing.T) {
	t.Run("output", func(t *testing.T) {
		w, err := pack.NewWriter(t.Context(), &output{failAt: 10_000}, pack.WriterOptions{FrameSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range sample(6, 200) {
			e := tree.Entry{Type: tree.File, Size: int64(len(f.data))}
			if err = w.Header(f.name, &e); err != nil {
				break
			}
			if _, err = w.Write(f.data); err != nil {
				break
			}
		}
		if _, err := w.Close(); !errors.Is(err, errFull) {
			t.Errorf("Close: %v, want %v", err, errFull)
		}
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := pack.NewWriter(ctx, &output{}, pack.WriterOptions{FrameSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, sample(7, 10))
		cancel()
		if _, err := w.Close(); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want %v", err, context.Canceled)
		}
	})
}

// No prefix of a pack is taken for a pack, and no damaged byte goes unseen.
func TestTruncatedAndDamaged(t *testing.T) {
	for _, c := range []pack.Compression{pack.Gzip, pack.Zstd} {
		out, info, _ := build(t, sample(8, 4), pack.WriterOptions{Compression: c, FrameSize: 2000})
		blob := out.Bytes()
		for n := range blob {
			if err := readAll(t, blob[:n], c); err == nil {
				t.Fatalf("%s: the first %d of %d bytes pass for a pack", c, n, len(blob))
			}
		}
		for i := range info.Location.Offset {
			damaged := bytes.Clone(blob)
			damaged[i] ^= 0x40
			if err := readAll(t, damaged, c); !errors.Is(err, pack.ErrCorrupt) {
				t.Fatalf("%s: damage at byte %d: %v", c, i, err)
			}
		}
	}
}

func readAll(t testing.TB, blob []byte, c pack.Compression) error {
	r, err := pack.OpenBlob(t.Context(), pack.Source{Name: "test", Blob: bytes.NewReader(blob), Compression: c}, int64(len(blob)), nil, pack.NewCache(1<<20))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size()))
	return err
}

// Readers at the same time, with a cache that is always full, get what they
// ask for.
func TestConcurrentReads(t *testing.T) {
	files := sample(9, 100)
	out, _, offsets := build(t, files, pack.WriterOptions{FrameSize: 2000})
	r, err := pack.OpenBlob(t.Context(), pack.Source{Name: "test", Blob: bytes.NewReader(out.Bytes()), Compression: pack.Gzip}, int64(out.Len()), nil, pack.NewCache(6000))
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 8)
	for g := range 8 {
		go func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 2))
			for range 300 {
				i := rnd.IntN(len(files))
				got := make([]byte, len(files[i].data))
				if _, err := r.ReadAt(got, offsets[i]); err != nil || !bytes.Equal(got, files[i].data) {
					errs <- fmt.Errorf("file %d: %w", i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A header may be aligned, so that pages of a file lie in one frame each.
func TestAlignedHeader(t *testing.T) {
	for before := range 20 {
		out := &output{}
		w, err := pack.NewWriter(t.Context(), out, pack.WriterOptions{Compression: pack.None})
		if err != nil {
			t.Fatal(err)
		}
		files := sample(10, before)
		write(t, w, files)
		e := tree.Entry{Type: tree.File, Size: 3}
		if err := w.AlignedHeader("aligned", &e, 4096); err != nil {
			t.Fatal(err)
		}
		if w.Offset()%4096 != 0 {
			t.Errorf("behind %d files: offset %d", before, w.Offset())
		}
		if _, err := w.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		checkTar(t, bytes.NewReader(out.Bytes()), append(files, file{"aligned", []byte("abc")}))
	}
}

func FuzzOpenBlob(f *testing.F) {
	for _, c := range []pack.Compression{pack.Gzip, pack.Zstd} {
		out, _, _ := build(f, sample(11, 3), pack.WriterOptions{Compression: c, FrameSize: 500})
		f.Add(out.Bytes(), c == pack.Zstd)
	}
	f.Fuzz(func(t *testing.T, blob []byte, zstd bool) {
		c := pack.Gzip
		if zstd {
			c = pack.Zstd
		}
		r, err := pack.OpenBlob(t.Context(), pack.Source{Name: "fuzz", Blob: bytes.NewReader(blob), Compression: c}, int64(len(blob)), nil, pack.NewCache(1<<20))
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, min(r.Size(), 1<<20)))
		if err == nil && n != min(r.Size(), 1<<20) {
			t.Errorf("read %d of %d bytes without an error", n, r.Size())
		}
	})
}
