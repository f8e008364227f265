package extract

import "context"

// An External is an extractor that is no format of this package: a script, a
// module, a program. It is asked about every file, whatever its format, by
// several goroutines at once.
type External interface {
	// Name stands in the record of the set and before its warnings.
	Name() string
	// Version changes whenever the same file gives other metadata: the
	// digest of a script, say. It has no comma.
	Version() string
	// Extract returns what it finds of a file, under keys as they are to be
	// in the catalog (those that cdb or a format has set are refused), or nil
	// for nothing. An error is a warning about that file; what is returned
	// with it stays. The metadata is written in the order of its keys.
	Extract(ctx context.Context, f *ExternalFile) (*Meta, error)
}

// An ExternalFile is a file as external extractors see it.
type ExternalFile struct {
	Source
	// Data is all of a file of up to HeadSize bytes, which was read already;
	// nil of a larger one, which must be opened by its Name. It must not be
	// kept or changed.
	Data []byte
}
