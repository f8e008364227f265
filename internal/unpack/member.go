package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/tree"
)

// holeSize is the length of blocks of zeros that are not written, in bytes.
const holeSize = 64 << 10

// A member is one entry of an archive.
type member struct {
	name string // as the archive has it
	typ  memberType
	link string // the target of links
	attr attr
}

type memberType int

const (
	fileMember memberType = iota
	dirMember
	symlinkMember
	hardLinkMember
	otherMember // devices and the like
)

// put makes a member. What had its name is gone, unless both are folders.
func (f *Folder) put(m *member, body io.Reader) error {
	name, err := cleanPath(m.name)
	if err != nil {
		return err
	}
	if name == "" {
		if m.typ != dirMember {
			return fmt.Errorf("member %q: only a folder can be the root", m.name)
		}
		f.top.implicit, f.top.attr = false, m.attr
		return nil
	}
	p, err := f.goTo(tree.Parent(name), true)
	if err == nil {
		err = f.putIn(p, tree.Base(name), m, body)
	}
	if err != nil {
		return fmt.Errorf("member %q: %w", m.name, err)
	}
	return nil
}

func (f *Folder) putIn(p *place, base string, m *member, body io.Reader) error {
	if m.typ == dirMember {
		return f.putDir(p, base, m)
	}
	if m.typ == otherMember {
		f.skip(path.Join(p.real, base), errors.New(m.link+": not data"))
		return f.remove(p, base)
	}
	if m.typ == hardLinkMember {
		return f.putHardLink(p, base, m)
	}
	err := f.write(p, base, m, body)
	if errors.Is(err, fs.ErrExist) {
		if err := f.remove(p, base); err != nil {
			return err
		}
		err = f.write(p, base, m, body)
	}
	if err != nil {
		return err
	}
	f.note(p, base, m.attr.modTime)
	return nil
}

// note remembers that p has a new entry that is no folder.
func (f *Folder) note(p *place, base string, t time.Time) {
	if t.After(p.node.newest) {
		p.node.newest = t
	}
	if f.layer == 0 {
		return
	}
	if p.node.others == nil {
		p.node.others = map[string]int{}
	}
	p.node.others[base] = f.layer
}

func (f *Folder) putDir(p *place, base string, m *member) error {
	n := p.node.children[base]
	if n == nil {
		if err := f.remove(p, base); err != nil {
			return err
		}
		if err := p.root.Mkdir(base, 0o700); err != nil {
			return err
		}
		n = p.node.add(base)
	}
	n.implicit, n.attr, n.layer = false, m.attr, f.layer
	return nil
}

// write writes a file or a symbolic link, whose name is still free. Nothing of
// body is read if it is not.
func (f *Folder) write(p *place, base string, m *member, body io.Reader) error {
	if m.typ == symlinkMember {
		if err := p.root.Symlink(m.link, base); err != nil {
			return err
		}
		if f.opts.Owners {
			if err := p.root.Lchown(base, m.attr.uid, m.attr.gid); err != nil {
				return err
			}
		}
		return setTime(p.file, base, m.attr.modTime)
	}
	file, err := p.root.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = f.copy(file, body)
	if err == nil {
		err = f.setAttr(file, &m.attr, 0o600)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return notExist(err)
	}
	return setTime(p.file, base, m.attr.modTime)
}

// notExist makes sure that an error is not taken for one of a name in use.
func notExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return errors.New(err.Error())
	}
	return err
}

// copy writes body and leaves holes for blocks of zeros.
func (f *Folder) copy(file *os.File, body io.Reader) error {
	var at, written int64
	for {
		n, err := io.ReadFull(body, f.buf)
		b := f.buf[:n]
		if n > 0 && len(bytes.TrimLeft(b, "\x00")) > 0 {
			if _, err := file.WriteAt(b, at); err != nil {
				return err
			}
			written = at + int64(n)
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && atEnd(body) {
			break
		}
		if err != nil {
			return err
		}
	}
	if written < at {
		return file.Truncate(at)
	}
	return nil
}

// atEnd tells a body that is shorter than a buffer, of which io.ReadFull says
// io.ErrUnexpectedEOF, from one that is cut off, which goes on saying so.
func atEnd(body io.Reader) bool {
	_, err := body.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// putHardLink makes another name for a member that came before, also one of a
// lower layer.
func (f *Folder) putHardLink(p *place, base string, m *member) error {
	target, err := cleanPath(m.link)
	if err != nil || target == "" {
		return fmt.Errorf("hard link to %q, which is outside of the archive", m.link)
	}
	at, err := f.walk(tree.Parent(target), false)
	if err == nil {
		defer at.close()
		_, err = at.root.Lstat(tree.Base(target))
	}
	if errors.Is(err, errNoParent) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hard link to %q, which does not come before it", m.link)
	}
	if err != nil {
		return err
	}
	from, to := path.Join(at.real, tree.Base(target)), path.Join(p.real, base)
	if from == to {
		return nil
	}
	if strings.HasPrefix(from, to+"/") {
		return fmt.Errorf("hard link to %q, which lies in what the link replaces", m.link)
	}
	if err := f.remove(p, base); err != nil {
		return err
	}
	if err := f.root.Link(from, to); err != nil {
		return err
	}
	f.note(p, base, m.attr.modTime)
	return nil
}
