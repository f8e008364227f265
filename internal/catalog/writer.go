package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"os"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/data-containers/cdb/internal/tree"
)

// An Entry is one row of a catalog: an entry of the tree with its digest,
// its place and its metadata.
type Entry struct {
	tree.Entry
	// ID is the place of the entry in the order of the tree, from 1. The
	// Writer assigns it.
	ID int64
	// SHA256 is the digest of a regular file's bytes.
	SHA256 [sha256.Size]byte
	// Pack is the ID of the pack that holds the bytes of a regular file,
	// and Offset where they begin in the pack's tar stream.
	Pack   int
	Offset int64
	// Meta is a JSON object of metadata beyond size and digest, with keys
	// in the extractors' order; "" for none.
	Meta string
}

// A Pack is one data layer as the catalog knows it.
type Pack struct {
	ID        int // from 1, in the order of layers
	Digest    string
	DiffID    string
	MediaType string
	Size      int64 // of the blob, in bytes
	TarSize   int64 // of the tar stream
	FrameSize int64 // uncompressed bytes of each frame but the last
	// Frames is the frame table: per frame 36 bytes, the compressed length
	// (32 bits, little-endian) and the sha256 of the compressed bytes.
	Frames []byte
}

// FrameRecordSize is the length of one record of Pack.Frames in bytes.
const FrameRecordSize = 4 + sha256.Size

// WriterOptions say how a catalog is written. The zero value has no full-text
// index.
type WriterOptions struct {
	Prefix    string // as in Dataset
	Preserved bool   // as in Dataset
	Text      bool   // make the full-text index
}

// A Writer makes a catalog file, row by row in the order of the tree. The
// same rows make the same bytes.
type Writer struct {
	conn    *sqlite.Conn
	path    string
	opts    WriterOptions
	add     *sqlite.Stmt
	ds      Dataset
	id      int64
	last    string // path of the last row
	group   int64
	listing hash.Hash
	metrics map[string]int64
	line    []byte
}

// Create begins a new catalog at path, where no file may be.
func Create(path string, opts WriterOptions) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("create catalog %q: %w", path, os.ErrExist)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("create catalog %q: %w", path, err)
	}
	w := &Writer{conn: conn, path: path, opts: opts, listing: sha256.New(), metrics: map[string]int64{}}
	if err := w.begin(); err != nil {
		w.Abort()
		return nil, fmt.Errorf("create catalog %q: %w", path, err)
	}
	return w, nil
}

func (w *Writer) begin() error {
	// Nothing reads the file before Finish, and a build that fails drops it:
	// it needs no journal.
	setup := fmt.Sprintf(`PRAGMA page_size = %d; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
		PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -32768; PRAGMA cell_size_check = OFF;
		PRAGMA application_id = %d; PRAGMA user_version = %d;`, pageSize, applicationID, schemaVersion)
	for _, stmt := range statements(setup) {
		if err := sqlitex.ExecuteTransient(w.conn, stmt, nil); err != nil {
			return err
		}
	}
	if err := sqlitex.ExecuteTransient(w.conn, "BEGIN", nil); err != nil {
		return err
	}
	if err := w.exec(tables); err != nil {
		return err
	}
	var err error
	w.add, err = w.conn.Prepare(`INSERT INTO entry (id, path, type, mode, mtime, size, sha256, link, pack, offset, meta, attrs)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	return err
}

// exec runs a script of several statements.
func (w *Writer) exec(script string) error {
	for _, stmt := range statements(script) {
		if err := sqlitex.ExecuteTransient(w.conn, stmt, nil); err != nil {
			return err
		}
	}
	return nil
}

// statements splits a script of ours, none of which has a semicolon within a
// statement.
func statements(script string) []string {
	var out []string
	for s := range strings.SplitSeq(script, ";") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Add appends the next entry and sets its ID. Entries come in the order of
// the tree, the root first.
func (w *Writer) Add(e *Entry) error {
	path := (&Dataset{Prefix: w.opts.Prefix}).column(e.Path, e.Type)
	if path <= w.last {
		return fmt.Errorf("catalog %q: it comes behind %q, out of order", path, w.last)
	}
	w.id++
	e.ID, w.last = w.id, path
	attrs, err := w.attrs(e)
	if err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	s := w.add
	s.BindInt64(1, e.ID)
	s.BindText(2, path)
	s.BindText(3, string(rune(e.Type)))
	s.BindInt64(4, int64(e.Mode))
	s.BindInt64(5, e.ModTime.Unix())
	bindText(s, 8, e.Link)
	bindText(s, 11, e.Meta)
	bindText(s, 12, attrs)
	if e.Type == tree.File {
		s.BindInt64(6, e.Size)
		s.BindBytes(7, e.SHA256[:])
		s.BindInt64(9, int64(e.Pack))
		s.BindInt64(10, e.Offset)
	} else {
		s.BindNull(6)
		s.BindNull(7)
		s.BindNull(9)
		s.BindNull(10)
	}
	if _, err := s.Step(); err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	if err := s.Reset(); err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	return w.count(e)
}

func bindText(s *sqlite.Stmt, param int, v string) {
	if v == "" {
		s.BindNull(param)
		return
	}
	s.BindText(param, v)
}

// count keeps the sums, the metrics and the listing that the dataset digest
// is made of.
func (w *Writer) count(e *Entry) error {
	switch e.Type {
	case tree.Dir:
		w.ds.Dirs++
		return nil
	case tree.Symlink:
		w.ds.Links++
		w.metrics["link"]++
	case tree.File:
		w.ds.Files++
		w.ds.Bytes += e.Size
		w.metrics["size"]++
		w.metrics["sha256"]++
		w.line = appendListing(w.line[:0], e)
		w.listing.Write(w.line)
	}
	if e.Meta == "" {
		return nil
	}
	keys, err := objectKeys(e.Meta)
	if err != nil {
		return fmt.Errorf("catalog metadata of %q: %w", e.Path, err)
	}
	for _, k := range keys {
		w.metrics[k]++
	}
	return nil
}

// appendListing appends the line that sha256sum prints for e.
func appendListing(b []byte, e *Entry) []byte {
	if strings.ContainsAny(e.Path, "\\\n\r") {
		b = append(b, '\\')
	}
	b = hex.AppendEncode(b, e.SHA256[:])
	b = append(b, "  "...)
	for i := range len(e.Path) {
		switch c := e.Path[i]; c {
		case '\\':
			b = append(b, `\\`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '\n')
}

// preserved is the form of column attrs: what the other columns have no room
// for.
type preserved struct {
	UID    int               `json:"uid,omitempty"`
	GID    int               `json:"gid,omitempty"`
	Nanos  int               `json:"ns,omitempty"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
}

func (w *Writer) attrs(e *Entry) (string, error) {
	if !w.opts.Preserved {
		return "", nil
	}
	p := preserved{UID: e.UID, GID: e.GID, Nanos: e.ModTime.Nanosecond()}
	for k, v := range e.Xattrs {
		if p.Xattrs == nil {
			p.Xattrs = map[string][]byte{}
		}
		p.Xattrs[k] = []byte(v)
	}
	b, err := json.Marshal(p)
	if err != nil || string(b) == "{}" {
		return "", err
	}
	return string(b), nil
}

// AddPack records a finished pack. Packs come in the order of their IDs.
func (w *Writer) AddPack(p *Pack) error {
	err := sqlitex.Execute(w.conn, `INSERT INTO pack (id, digest, diff_id, media_type, size, tar_size, frame_size, first_group)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, &sqlitex.ExecOptions{
		Args: []any{p.ID, p.Digest, p.DiffID, p.MediaType, p.Size, p.TarSize, p.FrameSize, w.group},
	})
	if err != nil {
		return fmt.Errorf("catalog pack %s: %w", p.Digest, err)
	}
	var offset int64
	for frames := range slices.Chunk(p.Frames, framesPerGroup*FrameRecordSize) {
		err := sqlitex.Execute(w.conn, `INSERT INTO frame_group (id, offset, frames) VALUES (?, ?, ?)`,
			&sqlitex.ExecOptions{Args: []any{w.group, offset, frames}})
		if err != nil {
			return fmt.Errorf("catalog pack %s: %w", p.Digest, err)
		}
		for rec := range slices.Chunk(frames, FrameRecordSize) {
			offset += int64(binary.LittleEndian.Uint32(rec))
		}
		w.group++
	}
	return nil
}

// Finish adds what the user says of the dataset, makes the indexes and closes
// the file. It returns the dataset with all counts.
func (w *Writer) Finish(ctx context.Context, ds Dataset) (*Dataset, error) {
	w.conn.SetInterrupt(ctx.Done())
	err := w.finish(&ds)
	if err == nil {
		err = w.conn.Close()
		w.conn = nil
	}
	if err != nil {
		w.Abort()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("finish catalog %q: %w", w.path, err)
	}
	return &ds, nil
}

func (w *Writer) finish(ds *Dataset) error {
	ds.Prefix, ds.Preserved = w.opts.Prefix, w.opts.Preserved
	ds.Files, ds.Dirs, ds.Links, ds.Bytes = w.ds.Files, w.ds.Dirs, w.ds.Links, w.ds.Bytes
	ds.Digest = "sha256:" + hex.EncodeToString(w.listing.Sum(nil))
	pairs := ds.pairs()
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		err := sqlitex.Execute(w.conn, "INSERT INTO dataset (key, value) VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{k, pairs[k]}})
		if err != nil {
			return err
		}
	}
	for _, m := range slices.Sorted(maps.Keys(w.metrics)) {
		err := sqlitex.Execute(w.conn, "INSERT INTO metric (name, files) VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{m, w.metrics[m]}})
		if err != nil {
			return err
		}
	}
	if err := w.exec(indexes + views); err != nil {
		return err
	}
	if w.opts.Text {
		if err := w.index(ds.Prefix); err != nil {
			return err
		}
	}
	return sqlitex.ExecuteTransient(w.conn, "COMMIT", nil)
}

// index makes the full-text index. The prefix is in every path and would
// match everything, so it is left out.
func (w *Writer) index(prefix string) error {
	if err := w.exec(textTable); err != nil {
		return err
	}
	err := w.conn.CreateFunction("plain", &sqlite.FunctionImpl{
		NArgs: 1, Deterministic: true, AllowIndirect: false,
		Scalar: func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			return sqlite.TextValue(unescape(args[0].Text())), nil
		},
	})
	if err != nil {
		return err
	}
	skip := len(prefix) + 2
	if prefix == "/" {
		skip = 2
	}
	return sqlitex.Execute(w.conn, `INSERT INTO text (rowid, path, meta)
		SELECT id, substr(path, ?), plain(coalesce(meta, '')) || ' ' || coalesce(link, '') FROM entry WHERE type <> 'd' ORDER BY id`,
		&sqlitex.ExecOptions{Args: []any{skip}})
}

// Abort drops the catalog. After Finish it does nothing.
func (w *Writer) Abort() error {
	if w.conn == nil {
		return nil
	}
	w.conn.Close()
	w.conn = nil
	return os.Remove(w.path)
}
