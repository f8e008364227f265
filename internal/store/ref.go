package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The transports of a Ref.
const (
	TransportStore         = "store"
	TransportOCI           = "oci"
	TransportOCIArchive    = "oci-archive"
	TransportDockerArchive = "docker-archive"
	TransportDockerDaemon  = "docker-daemon"
	TransportDocker        = "docker"
	TransportSIF           = "sif"
)

// A Ref says where an image is.
type Ref struct {
	// Transport is one of the Transport constants.
	Transport string
	// Path is the folder or file of oci, oci-archive, docker-archive, sif.
	Path string
	// Name is the repository, with its registry's host if it has one.
	Name string
	// Tag is "latest" by default where there is a Name; in a layout or an
	// archive "" is the only image.
	Tag string
	// Digest pins the image, whatever Tag says. A reference that is a digest
	// alone (store, docker-daemon) may hold an abbreviated one.
	Digest digest.Digest
}

const defaultTag = "latest"

// isHex says if s consists of lower-case hexadecimal digits.
func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// randomHex is 16 random digits.
func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// isTag checks a tag by the grammar of the distribution specification.
func isTag(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`).MatchString(s)
}

// ParseRef understands an IMAGE as it is written on a command line:
// docker://REF, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE,
// docker-daemon:NAME[:TAG], sif:FILE, the path of a layout (PATH:TAG too), an
// archive or a SIF file, and else NAME[:TAG][@DIGEST] in the local store or
// sha256:ID there. A path is what begins with "/", "./" or "../", and a name
// that exists as a layout or an archive.
func ParseRef(s string) (Ref, error) {
	r, err := parseRef(s)
	if err != nil {
		return Ref{}, fmt.Errorf("read image reference %q: %w", s, err)
	}
	return r, nil
}

func parseRef(s string) (Ref, error) {
	if s == "" {
		return Ref{}, errors.New("it is empty")
	}
	if rest, ok := strings.CutPrefix(s, "docker://"); ok {
		return parseNamed(TransportDocker, rest)
	}
	transport, rest, _ := strings.Cut(s, ":")
	switch transport {
	case TransportOCI, TransportOCIArchive, TransportDockerArchive:
		return parsePath(transport, rest)
	case TransportSIF:
		if rest == "" {
			return Ref{}, errors.New("the path is missing")
		}
		return Ref{Transport: TransportSIF, Path: rest}, nil
	case TransportDockerDaemon:
		return parseNamed(transport, rest)
	}
	if strings.Contains(s, "://") {
		return Ref{}, fmt.Errorf("unknown transport %q; known are docker://, oci:, oci-archive:, docker-archive:, sif: and docker-daemon:NAME", transport)
	}
	if r, ok, err := parsePlainPath(s); ok || err != nil {
		return r, err
	}
	return parseNamed(TransportStore, s)
}

// parseNamed reads NAME[:TAG][@DIGEST] or a digest alone.
func parseNamed(transport, s string) (Ref, error) {
	if hex, ok := strings.CutPrefix(s, "sha256:"); ok && isHex(hex) && transport != TransportDocker {
		return Ref{Transport: transport, Digest: digest.Digest(s)}, nil
	}
	rest, d, pinned := cutDigest(s)
	if !pinned && strings.Contains(s, "@") {
		return Ref{}, errors.New("what stands behind @ must be a digest, sha256: and 64 hexadecimal digits")
	}
	name, tag, err := parseName(rest)
	if err != nil {
		return Ref{}, err
	}
	if _, given := cutTag(rest); pinned && given == "" {
		tag = ""
	}
	return Ref{Transport: transport, Name: name, Tag: tag, Digest: d}, nil
}

// parsePath reads PATH[:NAME][:TAG][@DIGEST].
func parsePath(transport, s string) (Ref, error) {
	r := Ref{Transport: transport}
	rest := s
	if before, d, ok := cutDigest(s); ok && !exists(s) {
		rest, r.Digest = before, d
	}
	path, image := splitPath(transport, rest)
	if path == "" {
		return Ref{}, errors.New("the path is missing")
	}
	r.Path = path
	if image == "" {
		return r, nil
	}
	if isTag(image) {
		r.Tag = image
		return r, nil
	}
	var err error
	if r.Name, r.Tag, err = parseName(image); err != nil {
		return Ref{}, fmt.Errorf("behind the path %q: %w", path, err)
	}
	return r, nil
}

// splitPath finds the colon between a path and the image in it. Paths may hold
// colons: what exists decides, then the ending ".tar:", then the last colon
// with a tag behind it.
func splitPath(transport, s string) (path, image string) {
	if exists(s) {
		return s, ""
	}
	for i, c := range s {
		if c == ':' && exists(s[:i]) && isImage(transport, s[:i]) {
			return s[:i], s[i+1:]
		}
	}
	if transport != TransportOCI {
		if before, after, ok := strings.Cut(s, ".tar:"); ok {
			return before + ".tar", after
		}
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && (isTag(s[i+1:]) || s[i+1:] == "") {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isImage says if the existing path can be what transport reads.
func isImage(transport, path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() == (transport == TransportOCI)
}

// parsePlainPath recognises a path without transport.
func parsePlainPath(s string) (Ref, bool, error) {
	explicit := s == "." || s == ".." || filepath.IsAbs(s) || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
	rest, d, _ := cutDigest(s)
	if exists(s) {
		rest, d = s, ""
	}
	path, image := splitPlain(rest)
	transport, err := sniff(path)
	switch {
	case transport == TransportSIF:
		return Ref{Transport: transport, Path: path}, true, nil
	case transport != "":
		r, err := parsePath(transport, path)
		r.Tag, r.Digest = image, d
		if image != "" && !isTag(image) {
			r.Name, r.Tag, err = parseName(image)
		}
		return r, true, err
	case !explicit:
		return Ref{}, false, nil
	case err != nil:
		return Ref{}, false, err
	}
	return Ref{}, false, fmt.Errorf("%q is neither an OCI layout (a folder with a file oci-layout) nor an image archive nor a SIF file; \"cdb build\" makes an image from a folder", path)
}

// splitPlain cuts PATH:TAG where PATH exists.
func splitPlain(s string) (path, image string) {
	if exists(s) {
		return s, ""
	}
	for i, c := range s {
		if c == ':' && exists(s[:i]) {
			if t, _ := sniff(s[:i]); t != "" {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

// sniff returns the transport that reads path, "" if none does.
func sniff(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		_, err := os.Stat(filepath.Join(path, "oci-layout"))
		if err == nil {
			return TransportOCI, nil
		}
		return "", ignore(err, fs.ErrNotExist)
	}
	if !info.Mode().IsRegular() {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := f.ReadAt(head, 0)
	return sniffFile(head[:n]), nil
}

// sniffFile knows tar, compressed tar (which OpenArchive explains) and SIF.
func sniffFile(head []byte) string {
	switch {
	case len(head) > 42 && string(head[32:41]) == "SIF_MAGIC":
		return TransportSIF
	case len(head) > 262 && string(head[257:262]) == "ustar", compression(head) != "":
		return TransportOCIArchive
	}
	return ""
}

// String writes the reference so that ParseRef reads it back.
func (r Ref) String() string {
	var s string
	switch r.Transport {
	case TransportStore, "":
	case TransportDocker:
		s = "docker://"
	default:
		s = r.Transport + ":" + r.Path
	}
	image := r.Name
	if image != "" && r.Tag != "" {
		image += ":"
	}
	image += r.Tag
	if r.Path != "" && image != "" {
		s += ":"
	}
	s += image
	if r.Digest == "" {
		return s
	}
	if image == "" && r.Path == "" {
		return s + string(r.Digest)
	}
	return s + "@" + string(r.Digest)
}

// ParseName reads NAME[:TAG], the name to give to an image; tag is "latest"
// where none is given.
func ParseName(s string) (name, tag string, err error) {
	name, tag, err = parseName(s)
	if err != nil {
		err = fmt.Errorf("read image name %q: %w", s, err)
	}
	return name, tag, err
}

func parseName(s string) (name, tag string, err error) {
	name, tag = cutTag(s)
	switch {
	case strings.HasSuffix(s, ":"):
		return "", "", errors.New("the tag behind the colon is missing")
	case tag == "":
		tag = defaultTag
	case !isTag(tag):
		return "", "", fmt.Errorf("the tag %q may hold letters, digits, and behind the first character also \"_\", \".\" and \"-\", at most 128", tag)
	}
	return name, tag, checkRepository(name)
}

// checkRepository checks a name by the grammar of the distribution
// specification. A first part with a dot or a port, or "localhost", is a host.
func checkRepository(name string) error {
	host, rest, ok := strings.Cut(name, "/")
	if !ok || !isHost(host) {
		rest = name
	} else if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?$`).MatchString(host) {
		return fmt.Errorf("%q is not a host name", host)
	}
	const part = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > 255:
		return fmt.Errorf("the name has %d characters, at most 255 are possible", len(name))
	case rest == "sha256" || rest == "sha512":
		return fmt.Errorf("%q stands for a digest and cannot be a name", rest)
	case strings.ToLower(rest) != rest:
		lower := strings.ToLower(rest)
		if checkRepository(lower) != nil {
			return errors.New("a name is written in lower case")
		}
		return fmt.Errorf("a name is written in lower case, for example %q", strings.TrimSuffix(name, rest)+lower)
	case !regexp.MustCompile(`^` + part + `(?:/` + part + `)*$`).MatchString(rest):
		return errors.New("a name may hold lower-case letters, digits, \"/\" between parts, and \".\", \"_\" or \"-\" between letters or digits")
	}
	return nil
}

func isHost(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:")
}

// cutTag cuts NAME:TAG; the colon of a port is no tag.
func cutTag(s string) (name, tag string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// cutDigest cuts "anything@digest" or a digest alone.
func cutDigest(s string) (before string, d digest.Digest, ok bool) {
	i := strings.LastIndexByte(s, '@')
	d = digest.Digest(s[i+1:])
	if d.Validate() != nil {
		return s, "", false
	}
	return s[:max(i, 0)], d, true
}

// normalise completes NAME[:TAG] as Docker does: docker.io/library/x:latest.
func normalise(s string) string {
	name, tag := cutTag(s)
	if tag == "" {
		tag = defaultTag
	}
	host, _, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		name = "docker.io/library/" + name
	case !isHost(host):
		name = "docker.io/" + name
	}
	return name + ":" + tag
}

// Transports returns what a reference to an image elsewhere than in the local
// store begins with, before the colon.
func Transports() []string {
	return []string{TransportOCI, TransportOCIArchive, TransportDockerArchive, TransportDockerDaemon, TransportDocker, TransportSIF}
}
