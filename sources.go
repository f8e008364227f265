package cdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/unpack"
)

// A Source is a place that data of a build comes from. Just one of Path, Image
// and URL is given.
type Source struct {
	// Path is a folder, an archive (tar, also compressed with gzip, zstd or
	// bzip2; or ZIP), which is unpacked, or any other file. What does not
	// exist may be an image of the local store.
	Path string
	// Image is a reference as [Open] takes it. Of a data container the source
	// is its data, and the dataset is described as there unless something else
	// is said; of any other image all its files.
	Image string
	// URL is that of an archive or another file, with http or https.
	URL string
	// Digest is "sha256:" and the hex digest of the file at Path or URL. A URL
	// needs one.
	Digest string
	// To is the folder of the dataset that the data is put into; "" is its
	// root.
	To string
	// Folder is the only folder of an archive or an image to take, or file.
	Folder string
	// Exclude are gitignore patterns beside those of the build. Both are
	// relative to the source.
	Exclude []string
	// Keep says that an archive stays the file that it is.
	Keep bool
}

// ParseSource reads a SRC as it is written on a command line: docker://REF,
// oci:DIR and the other transports of images, https://… with the digest as
// "#sha256=HEX" behind it, and else a path.
func ParseSource(s string) (Source, error) {
	if s == "" {
		return Source{}, errors.New("source: it is empty")
	}
	scheme, _, isURL := strings.Cut(s, "://")
	if isURL && (scheme == "https" || scheme == "http") {
		address, fragment, _ := strings.Cut(s, "#")
		hex, ok := strings.CutPrefix(fragment, "sha256=")
		if !ok {
			return Source{}, fmt.Errorf("source %q: a URL needs the digest of what it must hold: put #sha256=HEX behind it", s)
		}
		src := Source{URL: address, Digest: "sha256:" + strings.ToLower(hex)}
		return src, src.Check()
	}
	transport, _, found := strings.Cut(s, ":")
	if found && slices.Contains(store.Transports(), transport) && isURL == (transport == store.TransportDocker) {
		if _, err := store.ParseRef(s); err != nil {
			return Source{}, fmt.Errorf("source: %w", err)
		}
		return Source{Image: s}, nil
	}
	if isURL && !strings.ContainsAny(scheme, "/.") {
		return Source{}, fmt.Errorf("source %q: unknown scheme %q; known are https, http and docker; write ./%s for a path", s, scheme, s)
	}
	return Source{Path: s}, nil
}

// String is what messages call the source.
func (s *Source) String() string { return cmp.Or(s.Path, s.Image, s.URL) }

// Check says what is wrong with the source, as far as it shows without looking,
// and brings its paths into one form.
func (s *Source) Check() error {
	given := 0
	for _, v := range []string{s.Path, s.Image, s.URL} {
		if v != "" {
			given++
		}
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("source %q: %w", s, fmt.Errorf(format, args...))
	}
	switch {
	case given != 1:
		return fail("give one path, image or URL")
	case s.Digest != "" && digest.Digest(s.Digest).Validate() != nil, s.Digest != "" && !strings.HasPrefix(s.Digest, "sha256:"):
		return fail("digest %q: must be sha256: and 64 hexadecimal digits", s.Digest)
	case s.Digest != "" && s.Image != "":
		return fail("the digest of an image belongs to its reference, behind an @")
	case s.URL != "" && s.Digest == "":
		return fail("a URL needs the digest of what it must hold")
	case s.Folder != "" && s.Keep:
		return fail("a folder of an archive that is not unpacked")
	}
	if s.URL != "" {
		if err := store.CheckURL(s.URL); err != nil {
			return fail("%w", err)
		}
	}
	for _, p := range []*string{&s.To, &s.Folder} {
		*p = strings.Trim(*p, "/")
		if err := tree.CheckPath(*p); err != nil {
			return fail("%w", err)
		}
	}
	return nil
}

// BuildSources is [Build] for what lies in several places, or in other forms
// than a folder: archives, images and downloads are unpacked into a temporary
// folder first. Folders that several sources have become one; it is an error
// if they have the same file.
func BuildSources(ctx context.Context, list []Source, opts BuildOptions) (*BuildResult, error) {
	if len(list) == 0 {
		return nil, errors.New("build: there is no source")
	}
	list = slices.Clone(list)
	for i := range list {
		if err := list[i].Check(); err != nil {
			return nil, err
		}
	}
	if s := &list[0]; len(list) == 1 && s.To == "" && s.Folder == "" {
		if fi, err := os.Stat(s.Path); err == nil && fi.IsDir() && s.Digest == "" {
			opts.Exclude = append(slices.Clone(opts.Exclude), s.Exclude...)
			return Build(ctx, s.Path, opts)
		}
	}
	return (&build{opts: opts, sources: &sources{list: list}}).start(ctx)
}

// sources are those of one build.
type sources struct {
	list   []Source
	mounts []scan.Mount // in the order of list
	words  *catalog.Dataset
	kept   []*keptMeta // data containers that are still open
}

// close closes what is still open.
func (s *sources) close() error {
	var errs []error
	for _, k := range s.kept {
		errs = append(errs, k.c.Close())
	}
	return errors.Join(errs...)
}

// sourceWords is what the first source that is a data container says of itself,
// nil if none does.
func (b *build) sourceWords() *catalog.Dataset {
	if b.sources == nil {
		return nil
	}
	return b.sources.words
}

// key is what builds of the same sources are remembered by. What is unpacked
// is new each time, so where there is nothing else there is nothing to
// remember.
func (s *sources) key() (string, error) {
	var key strings.Builder
	lasting := false
	for i, m := range s.mounts {
		name := s.list[i].String()
		if !m.Private {
			lasting = true
			var err error
			if name, err = filepath.Abs(m.Src); err != nil {
				return "", err
			}
			if real, err := filepath.EvalSymlinks(name); err == nil {
				name = real
			}
		}
		fmt.Fprintf(&key, "%q %q ", name, m.To)
	}
	if !lasting {
		return "", fs.ErrNotExist
	}
	return key.String(), nil
}

// openSources makes a folder or a file of each source.
func (b *build) openSources(ctx context.Context) error {
	for i := range b.sources.list {
		s := &b.sources.list[i]
		u := &unpacking{build: b, src: s, dir: filepath.Join(b.temp, "source-"+strconv.Itoa(i))}
		m, err := u.open(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("source %q: %w", s, err)
		}
		m.To, m.Name, m.Exclude = s.To, s.String(), s.Exclude
		b.sources.mounts = append(b.sources.mounts, m)
	}
	b.opts.Progress.restart("scan")
	return nil
}

// An unpacking is one source on its way to a folder.
type unpacking struct {
	*build
	src *Source
	dir string // a place for it, which does not exist yet
}

// open returns the source as a folder or a file.
func (u *unpacking) open(ctx context.Context) (scan.Mount, error) {
	switch {
	case u.src.URL != "":
		return u.download(ctx)
	case u.src.Image != "":
		return u.image(ctx, u.src.Image)
	}
	fi, err := os.Stat(u.src.Path)
	if errors.Is(err, fs.ErrNotExist) && u.inStore(ctx) {
		return u.image(ctx, u.src.Path)
	}
	if err != nil {
		return scan.Mount{}, bareError(err)
	}
	if fi.IsDir() {
		if u.src.Digest != "" {
			return scan.Mount{}, errors.New("a folder has no digest that could be compared")
		}
		if u.src.Folder == "" {
			return scan.Mount{Src: u.src.Path}, nil
		}
		return scan.Mount{Src: filepath.Join(u.src.Path, filepath.FromSlash(u.src.Folder))}, nil
	}
	if !fi.Mode().IsRegular() {
		return scan.Mount{}, errors.New("neither a folder nor a regular file")
	}
	if u.src.Digest != "" {
		if err := compareDigest(ctx, u.src.Path, u.src.Digest); err != nil {
			return scan.Mount{}, err
		}
	}
	return u.file(ctx, u.src.Path, scan.Mount{Src: u.src.Path})
}

// bareError returns err without the path, which the caller names.
func bareError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// inStore says if a path that does not exist is an image of the local store.
func (u *unpacking) inStore(ctx context.Context) bool {
	r, err := store.ParseRef(u.src.Path)
	if err != nil || r.Transport != store.TransportStore {
		return false
	}
	if _, err := os.Stat(u.opts.Store); err != nil {
		return false // looking must not make it
	}
	local, err := store.OpenLocal(u.opts.Store) // and no registry: a path may be misspelt
	if err != nil {
		return false
	}
	defer local.Close()
	_, err = local.Resolve(ctx, r.String())
	return err == nil
}

// compareDigest reads a file, which must have the digest want.
func compareDigest(ctx context.Context, name, want string) error {
	f, err := os.Open(name)
	if err != nil {
		return bareError(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, &contextReader{ctx, f}); err != nil {
		return bareError(err)
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("its digest is %s, not %s as you said", got, want)
	}
	return nil
}

// download fetches a URL into a file with the name that the URL ends in. Its
// time is the beginning of time: what a server says is not part of the digest.
func (u *unpacking) download(ctx context.Context) (scan.Mount, error) {
	u.opts.Progress.restart("download")
	dir := u.dir + "-download"
	if err := os.Mkdir(dir, 0o700); err != nil {
		return scan.Mount{}, err
	}
	base := "download"
	if address, err := url.Parse(u.src.URL); err == nil {
		if name := path.Base(address.Path); name != "/" && tree.CheckPath(name) == nil && len(name) < 256 {
			base = name
		}
	}
	name := filepath.Join(dir, base)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return scan.Mount{}, err
	}
	err = store.Fetch(ctx, u.src.URL, digest.Digest(u.src.Digest), f, store.FetchOptions{
		Proxy: u.opts.Proxy, Count: u.opts.Progress.addBytes,
	})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0))
	}
	if err != nil {
		return scan.Mount{}, err
	}
	m, err := u.file(ctx, name, scan.Mount{Src: name, Private: true})
	if err == nil && m.Src != name {
		err = os.Remove(name) // the room is needed
	}
	return m, err
}

// file returns the archive name unpacked, and the mount plain for any other
// file.
func (u *unpacking) file(ctx context.Context, name string, plain scan.Mount) (scan.Mount, error) {
	if u.src.Keep {
		return plain, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return scan.Mount{}, bareError(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return scan.Mount{}, err
	}
	format, err := unpack.Recognise(name, f)
	if err != nil {
		return scan.Mount{}, err
	}
	if format == "" {
		if u.src.Folder != "" {
			return scan.Mount{}, fmt.Errorf("it is no archive, so it has no folder %q", u.src.Folder)
		}
		return plain, nil
	}
	return u.unpack(func(to *unpack.Folder) error { return to.Archive(ctx, f, fi.Size(), format) })
}

// unpack returns the folder that do fills.
func (u *unpacking) unpack(do func(*unpack.Folder) error) (scan.Mount, error) {
	u.opts.Progress.restart("unpack")
	to, err := unpack.Create(u.dir, unpack.Options{
		Owners: u.opts.Preserve && os.Geteuid() == 0, Xattrs: u.opts.Preserve,
	})
	if err != nil {
		return scan.Mount{}, err
	}
	err = do(to)
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return scan.Mount{}, err
	}
	for _, s := range to.Skipped() {
		if !tree.Within(s.Path, u.src.Folder) {
			continue
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(s.Path, u.src.Folder), "/")
		if err := u.skip(scan.Skip{Path: path.Join(u.src.To, rel), Err: s.Err}); err != nil {
			return scan.Mount{}, err
		}
	}
	return u.unpacked()
}

// unpacked returns the part that is wanted of the unpacked folder. Links in it
// may lead anywhere, so none is followed.
func (u *unpacking) unpacked() (scan.Mount, error) {
	m := scan.Mount{Src: filepath.Join(u.dir, filepath.FromSlash(u.src.Folder)), Private: true}
	if u.src.Folder == "" {
		return m, nil
	}
	root, err := os.OpenRoot(u.dir)
	if err != nil {
		return m, err
	}
	defer root.Close()
	for _, p := range append(above(u.src.Folder)[1:], u.src.Folder) {
		fi, err := root.Lstat(p)
		if err != nil {
			return m, fmt.Errorf("folder %q: %w", u.src.Folder, bareError(err))
		}
		if !fi.IsDir() && !(p == u.src.Folder && fi.Mode().IsRegular()) {
			return m, fmt.Errorf("folder %q: %q is not a folder but %s", u.src.Folder, p, fi.Mode().Type())
		}
	}
	return m, nil
}
