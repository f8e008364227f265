package scan_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/scan"
)

// smallSnapshot returns the bytes of a complete snapshot of two packs.
func smallSnapshot(t testing.TB) []byte {
	dir := t.TempDir()
	w, err := scan.CreateSnapshot(dir, key, options)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		r := sampleRecord(n, 1+n/5)
		err = errors.Join(err, w.Add(&r))
		if n == 4 || n == 7 {
			err = errors.Join(err, w.EndPack(samplePack(n)))
		}
	}
	if err := errors.Join(err, w.Commit()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// neverWrong opens what is in dir, complete or partial, and fails if any
// record or pack is not what was written. It returns how much was found.
func neverWrong(t *testing.T, dir string) (records, packs int) {
	t.Helper()
	for _, open := range []func(a, b, c string) (*scan.Snapshot, error){scan.OpenSnapshot, scan.OpenPartial} {
		s, err := open(dir, key, options)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		check(t, err)
		c := s.Cursor()
		for n := range 8 {
			want := sampleRecord(n, 1+n/5)
			if r, ok := c.Find(&want.Entry, want.Stat); ok {
				records++
				if !cmp.Equal(*r, want) {
					t.Fatalf("wrong record %+v", *r)
				}
			}
		}
		for i, p := range s.Packs() {
			last := 4 + 3*i
			if d := cmp.Diff(samplePack(last), p.PackRecord); d != "" {
				t.Fatal(d)
			}
			n, bad := int64(0), false
			for r, err := range s.Run(i) {
				if bad = err != nil; !bad {
					if !cmp.Equal(*r, sampleRecord(5*i+int(n), 1+i)) {
						t.Fatalf("wrong record %+v", *r)
					}
					n++
				}
			}
			if !bad && n != p.Records {
				t.Fatalf("%d of %d records of a pack without an error", n, p.Records)
			}
			if !bad {
				packs++
			}
		}
		check(t, s.Close())
	}
	return records, packs
}

func TestTruncatedSnapshot(t *testing.T) {
	data := smallSnapshot(t)
	for _, name := range []string{key, key + ".partial-0123456789abcdef"} {
		dir := t.TempDir()
		last := 0
		for n := range len(data) {
			check(t, os.WriteFile(filepath.Join(dir, name), data[:n], 0o600))
			records, packs := neverWrong(t, dir)
			switch {
			case name == key && records+packs > 0:
				t.Fatalf("%d bytes of %d: not damaged", n, len(data))
			case packs < last || records != []int{0, 5, 8}[packs]:
				t.Fatalf("%d bytes of %d: %d packs, %d records", n, len(data), packs, records)
			}
			last = packs
		}
		if name != key && last != 2 {
			t.Errorf("%d packs are found at last", last)
		}
	}
}

func TestFlippedSnapshot(t *testing.T) {
	data := smallSnapshot(t)
	for _, name := range []string{key, key + ".partial-0123456789abcdef"} {
		dir := t.TempDir()
		for i := range data {
			damaged := append([]byte(nil), data...)
			damaged[i] ^= 1 << (i % 8)
			check(t, os.WriteFile(filepath.Join(dir, name), damaged, 0o600))
			if records, packs := neverWrong(t, dir); name == key && records == 8 && packs == 2 {
				t.Fatalf("byte %d does not matter", i)
			}
		}
	}
}

// Blocks that are lost, doubled, swapped or zeroed, as by a torn write, and
// those of another snapshot in the same place are damage.
func TestMovedBlocks(t *testing.T) {
	data, other := smallSnapshot(t), smallSnapshot(t)
	if len(data) != len(other) {
		t.Fatal("two snapshots of the same differ in length")
	}
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		d := append([]byte(nil), data...)
		i, n := rnd.IntN(len(d)), rnd.IntN(300)
		j := min(i+n, len(d))
		switch rnd.IntN(4) {
		case 0:
			copy(d[i:j], other[i:j])
		case 1:
			clear(d[i:j])
		case 2:
			d = append(d[:i], d[j:]...)
		case 3:
			d = append(d[:j:j], d[i:]...)
		}
		check(t, os.WriteFile(filepath.Join(dir, key), d, 0o600))
		neverWrong(t, dir)
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add(smallSnapshot(f))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(filepath.Join(dir, key), data, 0o600))
		check(t, os.WriteFile(filepath.Join(dir, key+".partial-0123456789abcdef"), data, 0o600))
		neverWrong(t, dir)
	})
}

// FuzzSnapshotRecords decodes what sums would keep away.
func FuzzSnapshotRecords(f *testing.F) {
	f.Add(scan.EncodeRecords(oddRecords()))
	f.Fuzz(func(t *testing.T, data []byte) {
		scan.DecodePack(data)
		records, err := scan.DecodeRecords(data)
		if err != nil {
			return
		}
		for i := range records {
			records[i].Pack = min(records[i].Pack, 1)
		}
		again, err := scan.DecodeRecords(scan.EncodeRecords(records))
		check(t, err)
		if d := cmp.Diff(records, again); d != "" {
			t.Error(d)
		}
	})
}

// childRun is how many records each pack of TestSnapshotChild has: more than
// one block.
const childRun = 1500

// TestSnapshotChild is no test but a build that is killed by the next one.
func TestSnapshotChild(t *testing.T) {
	dir := os.Getenv("CDB_SNAPSHOT_CHILD")
	if dir == "" {
		return
	}
	w := create(t, dir)
	for pack := 1; ; pack++ {
		addRun(t, w, pack, (pack-1)*childRun, pack*childRun)
		fmt.Println(pack)
	}
}

// A build that is killed leaves all packs whose end it was told of, whole,
// and never more of them than it began.
func TestKilledBuild(t *testing.T) {
	for i := range 10 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestSnapshotChild$")
		cmd.Env = append(os.Environ(), "CDB_SNAPSHOT_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		timer := time.AfterFunc(time.Duration(15+rnd.IntN(120))*time.Millisecond, func() { cmd.Process.Kill() })
		told := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			check(t, err)
			told = n
		}
		cmd.Wait()
		timer.Stop()
		checkKilled(t, dir, told)
	}
}

func checkKilled(t *testing.T, dir string, told int) {
	t.Helper()
	s, err := scan.OpenPartial(dir, key, options)
	if told == 0 && errors.Is(err, fs.ErrNotExist) {
		return
	}
	check(t, err)
	defer s.Close()
	packs := s.Packs()
	if len(packs) != told && len(packs) != told+1 {
		t.Fatalf("%d packs of %d", len(packs), told)
	}
	for i, p := range packs {
		if d := cmp.Diff(samplePack(i*childRun), p.PackRecord); d != "" || p.Records != childRun {
			t.Fatalf("pack %d of %d records: %s", i+1, p.Records, d)
		}
		for n, r := range runOf(t, s, i) {
			if !reflect.DeepEqual(r, sampleRecord(i*childRun+n, i+1)) {
				t.Fatalf("wrong record %+v", r)
			}
		}
	}
	if _, err := scan.OpenSnapshot(dir, key, options); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("complete: %v", err)
	}
}
