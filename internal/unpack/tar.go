package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/data-containers/cdb/internal/tree"
)

// Tar unpacks the tar stream r.
func (f *Folder) Tar(ctx context.Context, r io.Reader) error {
	f.layer = 0
	return f.eachMember(ctx, r, f.put)
}

// The prefix of whiteouts, and what begins the names of those that stand for
// something else than the entry they name (OCI image-spec, layer.md).
const (
	whiteout       = ".wh."
	opaque         = ".wh..wh..opq"
	whiteoutSystem = ".wh..wh."
)

// Layer applies the tar stream r of an image's layer to what the layers below
// it have left: its whiteouts take away what is theirs.
func (f *Folder) Layer(ctx context.Context, r io.Reader) error {
	f.top.layer++
	f.layer = f.top.layer
	return f.eachMember(ctx, r, func(m *member, body io.Reader) error {
		base := strings.TrimRight(m.name, "/")
		base = base[strings.LastIndexByte(base, '/')+1:]
		switch {
		case base == opaque:
			return f.whiteOut(m.name, "")
		case strings.HasPrefix(base, whiteoutSystem): // of AUFS, for itself
			return nil
		case strings.HasPrefix(base, whiteout) && len(base) > len(whiteout):
			return f.whiteOut(m.name, base[len(whiteout):])
		}
		return f.put(m, body)
	})
}

// whiteOut removes what lower layers have under the name base, or all of it
// if that is empty, from the folder that the whiteout name lies in.
func (f *Folder) whiteOut(name, base string) error {
	clean, err := cleanPath(name)
	if err != nil {
		return err
	}
	if base == "." || base == ".." {
		return fmt.Errorf("member %q: a whiteout of no name", name)
	}
	f.leave()
	p, err := f.walk(tree.Parent(clean), false)
	if errors.Is(err, errNoParent) {
		return nil
	}
	if err == nil {
		defer p.close()
		if base == "" {
			err = f.removeAllLower(p)
		} else {
			err = f.removeLower(p, base)
		}
	}
	if err != nil {
		return fmt.Errorf("member %q: %w", name, err)
	}
	return nil
}

// removeLower removes what is called name in p, but not what this layer put
// there.
func (f *Folder) removeLower(p *place, name string) error {
	n := p.node.children[name]
	switch {
	case n == nil && p.node.others[name] == f.layer:
		return nil
	case n == nil || n.layer != f.layer:
		return f.remove(p, name)
	}
	root, err := p.root.OpenRoot(name)
	if err != nil {
		return err
	}
	sub := &place{node: n, root: root}
	defer sub.close()
	return f.removeAllLower(sub)
}

// removeAllLower removes what is in p, but not what this layer put there.
func (f *Folder) removeAllLower(p *place) error {
	d, err := p.root.Open(".")
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := f.removeLower(p, name); err != nil {
			return err
		}
	}
	return nil
}

// eachMember calls do for the members of a tar stream.
func (f *Folder) eachMember(ctx context.Context, r io.Reader, do func(*member, io.Reader) error) error {
	tr := tar.NewReader(&contextReader{ctx, r})
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := do(tarMember(h), tr); err != nil {
			return err
		}
	}
	// What follows the end, such as the checksum of a compressed stream, is
	// part of the archive too.
	_, err := io.Copy(io.Discard, &contextReader{ctx, r})
	return err
}

func tarMember(h *tar.Header) *member {
	m := &member{name: h.Name, link: h.Linkname, attr: attr{
		mode: h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky),
		uid:  h.Uid, gid: h.Gid, modTime: h.ModTime,
	}}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if m.attr.xattrs == nil {
				m.attr.xattrs = map[string]string{}
			}
			m.attr.xattrs[name] = v
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		m.typ = fileMember
	case tar.TypeDir:
		m.typ = dirMember
	case tar.TypeSymlink:
		m.typ = symlinkMember
	case tar.TypeLink:
		m.typ = hardLinkMember
	case tar.TypeChar:
		m.typ, m.link = otherMember, "character device"
	case tar.TypeBlock:
		m.typ, m.link = otherMember, "block device"
	case tar.TypeFifo:
		m.typ, m.link = otherMember, "named pipe"
	default:
		m.typ, m.link = otherMember, fmt.Sprintf("member of type %q", h.Typeflag)
	}
	return m
}
