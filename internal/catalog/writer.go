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
	"time"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/data-containers/cdb/internal/tree"
)

// An Entry is one row of a catalog: an entry of the tree with its digest,
// its place and its metadata.
type Entry struct {
	tree.Entry
	// ID numbers the rows, from 1. The Writer assigns it.
	ID int64
	// SHA256 is the digest of a regular file's bytes.
	SHA256 [sha256.Size]byte
	// Pack is the ID of the pack that holds the entry, or 0 for the root of
	// an image, which no layer holds. Offset is where the bytes of a regular
	// file begin in the pack's tar stream.
	Pack   int
	Offset int64
	// Meta is a JSON object of metadata beyond size and digest, with keys
	// in the extractors' order; "" for none.
	Meta string
}

// footprint returns what e takes in a tar stream in bytes, about.
func (e *Entry) footprint() int64 {
	const block = 512
	if e.Type != tree.File || e.Link != "" {
		return block
	}
	return block + (e.Size+block-1)/block*block
}

// A Pack is one data layer as the catalog knows it.
type Pack struct {
	ID        int // from 1, in the order of layers
	Digest    string
	DiffID    string
	MediaType string
	Size      int64 // of the blob, in bytes
	TarSize   int64 // of the tar stream
	Live      int64 // bytes of the tar stream that entries of the catalog take, about; set by the Writer
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

// A Version is what a catalog says of one version of the dataset: of its own,
// and of those it was made from.
type Version struct {
	Parent  string // digest of the image it was made from; "" for the first
	Created string // RFC 3339
	Version string // as in Dataset
	Message string
	Digest  string // the dataset digest
	Files   int64
	Bytes   int64
	// What differs from the parent: files and links, and bytes of files.
	Added, Changed, Removed  int64
	BytesAdded, BytesRemoved int64
}

// A Writer makes a catalog file, row by row in the order of the tree. The
// same rows make the same bytes.
type Writer struct {
	conn    *sqlite.Conn
	path    string
	opts    WriterOptions
	add     *sqlite.Stmt
	ds      Dataset
	version Version
	id      int64
	last    string // path of the last row
	lastID  int64
	mixed   bool // IDs do not ascend with paths
	group   int64
	listing hash.Hash
	metrics map[string]int64
	names   []string      // of the metrics of a row, to be used again
	live    map[int]int64 // by pack
	line    []byte
	update  bool // it began as a copy
	dirty   bool // it differs from what it began as
}

// Create begins a new catalog at path, where no file may be.
func Create(path string, opts WriterOptions) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("create catalog %q: %w", path, os.ErrExist)
	}
	return newWriter(path, opts, false)
}

func newWriter(path string, opts WriterOptions, update bool) (*Writer, error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("create catalog %q: %w", path, err)
	}
	w := &Writer{
		conn: conn, path: path, opts: opts, update: update,
		listing: sha256.New(), metrics: map[string]int64{}, live: map[int]int64{},
	}
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
	if err := w.exec(setup + "BEGIN;"); err != nil {
		return err
	}
	if !w.update {
		if err := w.exec(tables); err != nil {
			return err
		}
	}
	if err := w.definePlain(); err != nil {
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

// Add appends a new entry and sets its ID. Entries come in the order of the
// tree, the root first.
func (w *Writer) Add(e *Entry) error {
	w.id++
	e.ID = w.id
	w.version.Added += countOf(e)
	w.version.BytesAdded += e.Size
	w.dirty = true
	if err := w.insert(e); err != nil {
		return err
	}
	if w.update {
		if err := w.indexRow(e); err != nil {
			return err
		}
	}
	return w.count(e, 1)
}

// countOf returns 1 for files and links and 0 for folders.
func countOf(e *Entry) int64 {
	if e.Type == tree.Dir {
		return 0
	}
	return 1
}

// insert writes a row.
func (w *Writer) insert(e *Entry) error {
	if err := w.next(e); err != nil {
		return err
	}
	attrs, err := w.attrs(e)
	if err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	s := w.add
	s.BindInt64(1, e.ID)
	s.BindText(2, w.last)
	s.BindText(3, string(rune(e.Type)))
	s.BindInt64(4, int64(e.Mode))
	s.BindInt64(5, e.ModTime.Unix())
	bindText(s, 8, e.Link)
	s.BindInt64(9, int64(e.Pack))
	bindText(s, 11, e.Meta)
	bindText(s, 12, attrs)
	if e.Type == tree.File {
		s.BindInt64(6, e.Size)
		s.BindBytes(7, e.SHA256[:])
		s.BindInt64(10, e.Offset)
	} else {
		s.BindNull(6)
		s.BindNull(7)
		s.BindNull(10)
	}
	if _, err := s.Step(); err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	if err := s.Reset(); err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	return nil
}

// next takes note that e is the next row of the final catalog.
func (w *Writer) next(e *Entry) error {
	path := w.column(e)
	if path <= w.last {
		return fmt.Errorf("catalog %q: it comes behind %q, out of order", path, w.last)
	}
	w.mixed = w.mixed || e.ID < w.lastID
	w.last, w.lastID = path, e.ID
	return nil
}

// column returns what column path holds for e.
func (w *Writer) column(e *Entry) string {
	return (&Dataset{Prefix: w.opts.Prefix}).column(e.Path, e.Type)
}

func bindText(s *sqlite.Stmt, param int, v string) {
	if v == "" {
		s.BindNull(param)
		return
	}
	s.BindText(param, v)
}

// count adds e to the sums, the metrics and the listing that the dataset
// digest is made of.
func (w *Writer) count(e *Entry, metrics int64) error {
	w.live[e.Pack] += e.footprint()
	switch e.Type {
	case tree.Dir:
		w.ds.Dirs++
	case tree.Symlink:
		w.ds.Links++
	case tree.File:
		w.ds.Files++
		w.ds.Bytes += e.Size
		w.line = appendListing(w.line[:0], e)
		w.listing.Write(w.line)
	}
	return w.countMetrics(e, metrics)
}

// countMetrics adds n to the counts of the metrics that e has.
func (w *Writer) countMetrics(e *Entry, n int64) error {
	if n == 0 {
		return nil
	}
	switch e.Type {
	case tree.Symlink:
		w.metrics["link"] += n
	case tree.File:
		w.metrics["size"] += n
		w.metrics["sha256"] += n
	}
	if e.Meta == "" {
		return nil
	}
	var ok bool
	if w.names, ok = appendMetrics(w.names[:0], e.Meta, "", 1); !ok || !ValidJSON(e.Meta) {
		return fmt.Errorf("catalog metadata of %q: not a JSON object", e.Path)
	}
	// A key with a dot may be called as one that is nested.
	slices.Sort(w.names)
	for _, name := range slices.Compact(w.names) {
		have, known := w.metrics[name]
		switch {
		case !known && (n < 0 || len(w.metrics) >= maxMetrics):
		case have+n <= 0:
			delete(w.metrics, name)
		default:
			w.metrics[name] = have + n
		}
	}
	return nil
}

// MetricFiles returns how many files and links so far have a metric.
func (w *Writer) MetricFiles(name string) int64 { return w.metrics[name] }

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
	err := sqlitex.Execute(w.conn, `INSERT INTO pack (id, digest, diff_id, media_type, size, tar_size, live, frame_size, first_group)
		VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)`, &sqlitex.ExecOptions{
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

// Finish adds what the user says of the dataset and of this version, makes
// the indexes and closes the file. Of v only Parent and Message are taken. It
// returns the dataset with all counts.
func (w *Writer) Finish(ctx context.Context, ds Dataset, v Version) (*Dataset, error) {
	w.conn.SetInterrupt(ctx.Done())
	w.version.Parent, w.version.Message = v.Parent, v.Message
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
	ds.Mixed = w.mixed
	ds.Digest = "sha256:" + hex.EncodeToString(w.listing.Sum(nil))
	if err := replaceTable(w.conn, "dataset (key, value)", ds.pairs()); err != nil {
		return err
	}
	metrics := map[string]int64{}
	for m, n := range w.metrics {
		if n > 0 {
			metrics[m] = n
		}
	}
	if err := replaceTable(w.conn, "metric (name, files)", metrics); err != nil {
		return err
	}
	if err := w.finishVersion(ds); err != nil {
		return err
	}
	if err := w.exec("UPDATE pack SET live = 0"); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(w.live)) {
		err := sqlitex.Execute(w.conn, "UPDATE pack SET live = ? WHERE id = ?", &sqlitex.ExecOptions{Args: []any{w.live[id], id}})
		if err != nil {
			return err
		}
	}
	if !w.update {
		if err := w.exec(indexes + views); err != nil {
			return err
		}
		if w.opts.Text {
			if err := w.index(); err != nil {
				return err
			}
		}
	}
	return sqlitex.ExecuteTransient(w.conn, "COMMIT", nil)
}

// replaceTable makes the rows of a table with two columns those of a map.
func replaceTable[V any](conn *sqlite.Conn, table string, rows map[string]V) error {
	name, _, _ := strings.Cut(table, " ")
	if err := sqlitex.ExecuteTransient(conn, "DELETE FROM "+name, nil); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		err := sqlitex.Execute(conn, "INSERT INTO "+table+" VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{k, rows[k]}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) finishVersion(ds *Dataset) error {
	v := &w.version
	v.Created, v.Version, v.Digest = ds.Created.UTC().Format(time.RFC3339), ds.Version, ds.Digest
	v.Files, v.Bytes = ds.Files, ds.Bytes
	return sqlitex.Execute(w.conn, `INSERT INTO version (parent, created, version, message, files, bytes,
		added, changed, removed, bytes_added, bytes_removed, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&sqlitex.ExecOptions{Args: []any{
			nullable(v.Parent), v.Created, nullable(v.Version), nullable(v.Message), v.Files, v.Bytes,
			v.Added, v.Changed, v.Removed, v.BytesAdded, v.BytesRemoved, v.Digest,
		}})
}

// nullable makes the empty string NULL.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// textOf is the text of a row of entry that the full-text index takes. The
// prefix is in every path and would match everything, so it is left out.
const textOf = "id, substr(path, ?1), plain(coalesce(meta, '')) || ' ' || coalesce(link, '') FROM entry"

// index makes the full-text index.
func (w *Writer) index() error {
	if err := w.exec(textTable); err != nil {
		return err
	}
	return sqlitex.Execute(w.conn, "INSERT INTO text (rowid, path, meta) SELECT "+textOf+" WHERE type <> 'd' ORDER BY id",
		&sqlitex.ExecOptions{Args: []any{w.textSkip()}})
}

// definePlain makes the SQL function that textOf uses: JSON text without its
// escape sequences, so that words are what people read.
func (w *Writer) definePlain() error {
	return w.conn.CreateFunction("plain", &sqlite.FunctionImpl{
		NArgs: 1, Deterministic: true, AllowIndirect: false,
		Scalar: func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			return sqlite.TextValue(unescape(args[0].Text())), nil
		},
	})
}

// textSkip returns the place in a path, in characters from 1, where what is
// indexed begins.
func (w *Writer) textSkip() int {
	if w.opts.Prefix == "/" {
		return 2
	}
	return utf8.RuneCountInString(w.opts.Prefix) + 2
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
