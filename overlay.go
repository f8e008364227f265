package cdb

import (
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// An overlay says, along the merge of a parent with changes, which rows of the
// parent the changes hide. Both come in the order of the tree, and so do what
// hides and what is hidden: all rows that come before an item are passed
// before the item is entered.
type overlay struct {
	covers []cover // each path begins with that of the one before
	// lost are files of the parent that were changed or are hidden, by their
	// paths or those of folders above, and relinked what took their place for
	// the hard links of them that stay.
	lost     map[string]bool
	relinked map[string]string

	newestFile, newestDir time.Time
}

// A cover hides rows of the parent.
type cover struct {
	path string
	kind coverKind
}

type coverKind int

const (
	coverAll     coverKind = iota // the path and all in it
	coverNonDir                   // the path, if it is no folder
	coverContent                  // what is in the path
)

func newOverlay() *overlay {
	return &overlay{lost: map[string]bool{}, relinked: map[string]string{}}
}

// hides says if the cover hides a row.
func (c *cover) hides(e *tree.Entry) bool {
	switch c.kind {
	case coverNonDir:
		return e.Path == c.path && e.Type != tree.Dir
	case coverContent:
		return e.Path != c.path && tree.Within(e.Path, c.path)
	}
	return tree.Within(e.Path, c.path)
}

// pop drops the covers that are behind path. What does not begin with the
// path of a cover and comes after it also comes after all that it hides.
func (o *overlay) pop(path string) {
	n := len(o.covers)
	for n > 0 && !strings.HasPrefix(path, o.covers[n-1].path) {
		n--
	}
	o.covers = o.covers[:n]
}

// enter takes note of an item of the changes. (Its place among the rows of the
// parent was found already.)
func (o *overlay) enter(it *readItem) {
	o.pop(it.Path)
	switch {
	case it.Mark == scan.Whiteout:
		o.covers = append(o.covers, cover{it.Path, coverAll})
		return
	case it.Mark == scan.Covered:
		o.covers = append(o.covers, cover{it.Path, coverNonDir})
		return
	case it.Type != tree.Dir:
		o.covers = append(o.covers, cover{it.Path, coverAll})
		if it.old != nil {
			o.lose(it.old)
		}
	case it.Opaque:
		o.covers = append(o.covers, cover{it.Path, coverContent})
	}
	o.date(&it.Entry)
}

// lose takes note that a row is not in the new version, or not the same.
func (o *overlay) lose(old *catalog.Entry) {
	if old.Type == tree.File {
		o.lost[old.Path] = true
	}
}

// stays returns the row that old becomes, or nil if it is hidden.
func (o *overlay) stays(old *catalog.Entry) *catalog.Entry {
	o.pop(old.Path)
	for i := range o.covers {
		if c := &o.covers[i]; c.hides(&old.Entry) {
			if old.Type == tree.File {
				o.lost[c.path] = true
			}
			return nil
		}
	}
	o.date(&old.Entry)
	if old.Type != tree.File || old.Link == "" || !o.isLost(old.Link) {
		return old
	}
	// The bytes stay where they are, but the file that it is a link of goes.
	e := *old
	e.Link = o.relinked[old.Link]
	if e.Link == "" {
		o.relinked[old.Link] = e.Path
	}
	return &e
}

// isLost says if the file of the parent with this path is not in the new
// version, or not the same.
func (o *overlay) isLost(path string) bool {
	for ; path != ""; path = tree.Parent(path) {
		if o.lost[path] {
			return true
		}
	}
	return o.lost[""]
}

func (o *overlay) date(e *tree.Entry) {
	newest := &o.newestFile
	if e.Type == tree.Dir {
		newest = &o.newestDir
	}
	if e.ModTime.After(*newest) {
		*newest = e.ModTime
	}
}

// newest returns the time of the newest file or link of all that was entered
// or stays; of folders, if there is none.
func (o *overlay) newest() time.Time {
	if o.newestFile.IsZero() {
		return o.newestDir
	}
	return o.newestFile
}
