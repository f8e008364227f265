// Package catalog is the SQLite file of a data container: every file and its
// metadata, the dataset's metadata, and where each byte lies. A catalog is
// written once, by a build, and then only read: from a folder, from an image
// layer, or over any io.ReaderAt. It is the one package that knows SQLite.
package catalog

// The identity of the file format: "cdb" 0x01 as the application id of the
// SQLite header, and the version of the schema as its user version.
const (
	applicationID = 0x63646201
	schemaVersion = 1
)

// pageSize is the page size of every catalog, in bytes. Sixteen pages make
// one 64 KiB frame of the catalog layer.
const pageSize = 4096

// tables is the schema as far as a build fills it row by row.
//
// entry.path is the path in the image; that of a folder ends in a slash, so the
// order of its bytes is that of tree.CompareNames. entry.id ascends in the same
// order.
const tables = `
CREATE TABLE dataset (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE metric (
	name  TEXT PRIMARY KEY,
	files INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE entry (
	id     INTEGER PRIMARY KEY,
	path   TEXT NOT NULL,
	type   TEXT NOT NULL,
	mode   INTEGER NOT NULL,
	mtime  INTEGER NOT NULL,
	size   INTEGER,
	sha256 BLOB,
	link   TEXT,
	pack   INTEGER,
	offset INTEGER,
	meta   TEXT,
	attrs  TEXT
);

CREATE TABLE pack (
	id          INTEGER PRIMARY KEY,
	digest      TEXT NOT NULL,
	diff_id     TEXT NOT NULL,
	media_type  TEXT NOT NULL,
	size        INTEGER NOT NULL,
	tar_size    INTEGER NOT NULL,
	live        INTEGER NOT NULL,
	frame_size  INTEGER NOT NULL,
	first_group INTEGER NOT NULL
);

CREATE TABLE frame_group (
	id     INTEGER PRIMARY KEY,
	offset INTEGER NOT NULL,
	frames BLOB NOT NULL
);

CREATE TABLE whiteout (
	path TEXT NOT NULL,
	pack INTEGER NOT NULL,
	PRIMARY KEY (path, pack)
) WITHOUT ROWID;

CREATE TABLE version (
	id            INTEGER PRIMARY KEY,
	parent        TEXT,
	created       TEXT NOT NULL,
	version       TEXT,
	message       TEXT,
	files         INTEGER NOT NULL,
	bytes         INTEGER NOT NULL,
	added         INTEGER NOT NULL,
	changed       INTEGER NOT NULL,
	removed       INTEGER NOT NULL,
	bytes_added   INTEGER NOT NULL,
	bytes_removed INTEGER NOT NULL,
	digest        TEXT NOT NULL
);
`

// indexes are made after the last row. Folders are in entry_size too: SQLite
// would take a partial index for a cheap way through all files, which it is
// not.
const indexes = `
CREATE UNIQUE INDEX entry_path ON entry (path);
CREATE INDEX entry_size ON entry (size);
`

// views are what SQL users see.
const views = `
CREATE VIEW files AS SELECT
	id,
	path,
	substr(path, length(rtrim(path, replace(path, '/', ''))) + 1) AS name,
	rtrim(rtrim(path, replace(path, '/', '')), '/') AS dir,
	CASE type WHEN 'l' THEN 'symlink' ELSE 'file' END AS type,
	size,
	lower(hex(sha256)) AS sha256,
	mtime,
	printf('%04o', mode) AS mode,
	link,
	meta
FROM entry WHERE type <> 'd';
`

// textTable is the full-text index over paths and metadata. It keeps no copy
// of the text.
const textTable = `
CREATE VIRTUAL TABLE text USING fts5 (
	path, meta, content = '', columnsize = 0, detail = none
);
`

// framesPerGroup is the number of frames that one row of frame_group
// describes, 36 bytes each: a reader of one file needs one row, not the table
// of the whole pack.
const framesPerGroup = 64
