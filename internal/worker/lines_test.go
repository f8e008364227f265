package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/worker"
)

// script is a program in shell that answers each line by a command, which
// finds the line in $q.
func script(answer string) []string {
	return []string{"sh", "-c", "while read -r q; do case $q in */dev/null*) echo '{\"meta\": {}}';; *) " + answer + ";; esac; done"}
}

func TestLines(t *testing.T) {
	for answer, want := range map[string]worker.Value{
		`echo '{"meta": {"a": [1, 2.50]}}'`:    {Kind: worker.Dict, Text: `{"a": [1, 2.50]}`},
		`echo '{"meta": null}'`:                {Kind: worker.None},
		`echo '{"meta": {}, "more": true}'`:    {Kind: worker.Dict, Text: `{}`},
		`echo '{"id": 2, "meta": {"b": 1}}'`:   {Kind: worker.Dict, Text: `{"b": 1}`},
		`echo "{\"meta\": $q}"`:                {Kind: worker.Dict, Text: `{"id":2,"path":"p \u0026 \"q\"","file":"/x/é","size":7}`},
		`pwd >&2; echo '{"meta": {"a": "é"}}'`: {Kind: worker.Dict, Text: `{"a": "é"}`},
	} {
		p, err := worker.Lines(t.Context(), script(answer), worker.Options{Workers: 1, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Ask(t.Context(), worker.Request{File: "/x/é", Path: `p & "q"`, Size: 7})
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", answer, got, err, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is wrong with an answer is an error about its file, and the next file
// has a program that can be trusted.
func TestLinesErrors(t *testing.T) {
	for answer, want := range map[string]string{
		`echo '{"error": "no good"}'`:  "no good",
		`echo '{"error": ""}'`:         "",
		`echo nonsense`:                "sh gave no proper answer: it is no JSON object",
		`echo '[1]'`:                   "sh gave no proper answer: it is no JSON object",
		`echo '{}'`:                    "sh gave no proper answer: there is neither meta nor error",
		`echo '{"meta": 1}'`:           "sh gave no proper answer: its meta is no object",
		`echo '{"id": 9, "meta": {}}'`: "sh gave no proper answer: it answers question 9, asked was 2",
		`exit 7`:                       "sh ended: exit status 7",
		`exit 0`:                       "sh ended in the midst of it",
		`kill -SEGV $$`:                "sh ended: signal: segmentation fault",
		`sleep 600`:                    "no answer after 700ms",
		`sleep 600 & wait`:             "no answer after 700ms",
		`printf '{"meta": {}}'; exit`:  "sh ended in the midst of it",
		`yes | tr -d '\n'`:             "sh gave no proper answer: a line of it is longer than 1048576 bytes",
		`echo '{"meta": {}}'; echo '{"meta": {}}'; echo '{"meta": {}}'`: "",
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			command := script("case $q in *bad*) " + answer + `;; *) echo '{"meta": {"good": 1}}';; esac`)
			opts := worker.Options{Workers: 1, Timeout: time.Minute}
			if strings.Contains(want, "700ms") {
				opts.Timeout = 700 * time.Millisecond
			}
			p, err := worker.Lines(t.Context(), command, opts)
			if err != nil {
				t.Skipf("the machine is too slow: %v", err)
			}
			defer p.Close()
			_, err = p.Ask(t.Context(), worker.Request{File: "bad", Path: "bad"})
			var fileErr *worker.Error
			if strings.Contains(answer, "; echo") {
				time.Sleep(300 * time.Millisecond) // for the second line to come
				if _, err := p.Call(t.Context(), "good"); err == nil || !strings.Contains(err.Error(), "more than one line") {
					t.Errorf("after two answers: %v", err)
				}
			} else if !errors.As(err, &fileErr) || !strings.HasPrefix(fileErr.Err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if v, err := p.Call(t.Context(), "good"); err != nil || v.Text != `{"good": 1}` {
				t.Errorf("the next call: %+v, %v", v, err)
			}
		})
	}
}

// A program may say both what it found and what it missed.
func TestLinesBoth(t *testing.T) {
	p, err := worker.Lines(t.Context(), script(`echo '{"meta": {"a": 1}, "error": "half of it"}'`), worker.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if v, err := p.Call(t.Context(), "x"); v.Text != `{"a": 1}` || err == nil || !strings.HasSuffix(err.Error(), "half of it") {
		t.Errorf("%+v, %v", v, err)
	}
}

// What is no such program is known before any file is asked about.
func TestLinesStart(t *testing.T) {
	for _, c := range []struct {
		command []string
		want    string
	}{
		{nil, "there is no command"},
		{[]string{"no-such-program"}, "executable file not found"},
		{[]string{"./no-such-program"}, "no such file"},
		{[]string{"cat"}, "there is neither meta nor error in it"},
		{[]string{"true"}, "ended"},
		{[]string{"sh", "-c", "exit 3"}, "exit status 3"},
		{[]string{"sleep", "600"}, "does it flush its output after each line?"},
	} {
		opts := worker.Options{Workers: 2}
		if len(c.command) == 2 {
			opts.Timeout = 500 * time.Millisecond
		}
		p, err := worker.Lines(t.Context(), c.command, opts)
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.command, err, c.want)
		}
	}
}

// No process is left, not even one that a program left behind.
func TestLinesLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	// One that knows when its input ends, and one that does not care.
	for _, then := range []string{"", "; sleep 601"} {
		command := []string{"sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $! >pid; read -r q; echo '{\"meta\": {}}'; read -r q" + then}
		p, err := worker.Lines(t.Context(), command, worker.Options{Workers: 1, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 30*time.Second {
			t.Errorf("it took %v to end", d)
		}
		out, err := exec.Command("sh", "-c", "cd '"+dir+"'; for i in 1 2 3 4 5 6 7 8 9; do case $(cut -d' ' -f3 /proc/$(cat pid)/stat 2>/dev/null) in ''|Z) exit 0;; esac; sleep 0.2; done; exit 1").CombinedOutput()
		if err != nil {
			t.Errorf("a child of it is still there: %v %s", err, out)
		}
	}
}

// Who waits can stop waiting, and then nothing is left.
func TestLinesCancel(t *testing.T) {
	p, err := worker.Lines(t.Context(), script(`sleep 600`), worker.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Call(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*worker.Error)) {
		t.Errorf("%v, want the error of the context", err)
	}
	if err := p.Close(); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

// An answer that is cut short is an error.
func TestReadAnswer(t *testing.T) {
	whole := `{"id": 3, "meta": {"a": "b"}}` + "\n"
	if v, said, err := worker.ReadAnswer(strings.NewReader(whole), 3); err != nil || said != nil || v.Text != `{"a": "b"}` {
		t.Errorf("%+v, %v, %v", v, said, err)
	}
	for n := range whole {
		if v, _, err := worker.ReadAnswer(strings.NewReader(whole[:n]), 3); err == nil {
			t.Errorf("%q: %+v", whole[:n], v)
		}
		if v, _, err := worker.ReadAnswer(strings.NewReader(whole[:n]+"\n"), 3); err == nil && n < len(whole)-1 {
			t.Errorf("%q and an end of line: %+v", whole[:n], v)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{`{"meta": {"a": 1}}`, `{"id": 1, "error": "x"}`, `{"meta": null}`, `{"meta": {}, "error": null}`, `[]`} {
		f.Add(s + "\n")
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, _, err := worker.ReadAnswer(strings.NewReader(s), 1)
		if err == nil && v.Kind == worker.Dict && !json.Valid([]byte(v.Text)) {
			t.Errorf("%q is taken for an object", v.Text)
		}
	})
}
