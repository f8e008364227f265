package ui_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/data-containers/cdb/internal/ui"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_234_567: "1.2 MB",
		5 << 30: "5.4 GB", 1 << 62: "4.6 EB", -1: "-1 B", -2_000_000: "-2.0 MB",
	} {
		if got := ui.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -999: "-999", -1234567: "-1,234,567"} {
		if got := ui.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{
		0: "0.0 s", 0.31: "0.3 s", 9.94: "9.9 s", 9.96: "10 s", 59.4: "59 s", 59.6: "1 min 00 s", 125: "2 min 05 s", 3600: "1 h 00 min", 7500: "2 h 05 min",
	} {
		if got := ui.Seconds(s); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", s, got, want)
		}
	}
	if got := ui.Plural(1, "file") + ", " + ui.Plural(0, "link") + ", " + ui.Plural(1000, "folder"); got != "1 file, 0 links, 1,000 folders" {
		t.Error(got)
	}
}

// No cell breaks a table, and no string a terminal.
func TestTable(t *testing.T) {
	var b strings.Builder
	if err := ui.Table(&b, []string{"A", "BB"}, [][]string{{"long cell", "x"}, {"tab\tline\n", "\x1b[0m"}}); err != nil {
		t.Fatal(err)
	}
	want := "A            BB\nlong cell    x\ntab\\tline\\n  \\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b strings.Builder
	p := ui.NewJSON(&b)
	for _, v := range []any{map[string]string{"a<b": "\x1b\x7f\u202e\u00e9\U0001f600"}, []int{}} {
		if err := p.Print(v); err != nil {
			t.Fatal(err)
		}
	}
	want := "{\"a<b\":\"\\u001b\\u007f\\u202e\\u00e9\\ud83d\\ude00\"}\n[]\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestTalk(t *testing.T) {
	var b strings.Builder
	talk := ui.NewTalk(&b, "cdb")
	talk.Note("a %s", "note")
	talk.Quiet()
	talk.Note("not said")
	talk.Warn("name %s", "esc\x1b\n")
	if want := "cdb: a note\ncdb: name esc\\x1b\\n\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// The line says what is known, and nothing that is not.
func TestFormatProgress(t *testing.T) {
	for _, c := range []struct {
		s    ui.Sample
		rate float64
		want string
	}{
		{ui.Sample{Phase: "scan"}, 0, "scan"},
		{ui.Sample{Phase: "verify", Bytes: 5e6}, 1e6, "verify  5.0 MB  1.0 MB/s"},
		{ui.Sample{Phase: "pack", Files: 1200, Bytes: 5e6, TotalFiles: 15000, TotalBytes: 65e6}, 1e6, "pack  1,200/15,000 files  5.0 MB/65.0 MB  1.0 MB/s  1 min 00 s left"},
		{ui.Sample{Phase: "pack", Files: 1, Bytes: 5, TotalFiles: 1, TotalBytes: 5}, 10, "pack  1/1 files  5 B/5 B  10 B/s"},
	} {
		if got := ui.FormatProgress(c.s, c.rate); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A screen is a terminal that is looked at while it is written to.
type screen struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The line comes after a second, is drawn at most ten times a second, fits,
// and is gone in the end.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b screen
		talk := ui.NewTerminal(&b)
		begin := time.Now()
		sample := func() ui.Sample {
			return ui.Sample{Phase: strings.Repeat("x", 100), Bytes: int64(time.Since(begin) / 1000)}
		}
		stop := talk.Progress(sample)
		time.Sleep(990 * time.Millisecond)
		synctest.Wait()
		if b.String() != "" {
			t.Errorf("within a second: %q", b.String())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := strings.Count(b.String(), "\r"); n < 15 || n > 21 {
			t.Errorf("drawn %d times in two seconds", n)
		}
		for line := range strings.SplitSeq(b.String(), "\r") {
			if len(line) > 79 {
				t.Errorf("line of %d characters", len(line))
			}
		}
		talk.Warn("between")
		if !strings.HasSuffix(b.String(), "\r"+strings.Repeat(" ", 79)+"\rcdb: between\n") {
			t.Errorf("a message came behind the line: %q", b.String())
		}
		time.Sleep(200 * time.Millisecond)
		stop()
		if !strings.HasSuffix(b.String(), "\r"+strings.Repeat(" ", 79)+"\r") {
			t.Errorf("the line was left: %q", b.String())
		}
	})
}

// Short commands, quiet ones, and those without a terminal show none.
func TestNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		quiet := ui.NewTerminal(&b)
		quiet.Quiet()
		for _, talk := range []*ui.Talk{quiet, ui.NewTalk(&b, "cdb")} {
			stop := talk.Progress(func() ui.Sample { return ui.Sample{Phase: "x"} })
			time.Sleep(5 * time.Second)
			stop()
		}
		stop := ui.NewTerminal(&b).Progress(func() ui.Sample { return ui.Sample{Phase: "x"} })
		time.Sleep(900 * time.Millisecond)
		stop()
		if b.Len() > 0 {
			t.Errorf("got %q", b.String())
		}
	})
}
