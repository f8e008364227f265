// Package cdb is the library behind the cdb command: it makes data
// containers, images with no operating system in them but a folder of data, a
// catalog that describes it, and a small program that answers questions about
// it. Each verb is a function with an options struct in and a result out:
// [Build] makes an image, [Open] reads one, [Generate] writes the source of a
// program that answers without an image.
//
// This package is the one place where the stages meet:
//
//	build: folder -> scan -> pack + catalog -> image -> store
//	use:   store -> image -> catalog (query) and files (read) -> export
package cdb

import (
	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/store"
)

// Places say where things are that references do not name. Nothing here is
// read from the environment.
type Places struct {
	Store      string // folder of the local store
	DockerHost string // as DOCKER_HOST; "" is the usual socket
	TempDir    string // for temporary files; "" is the system's
	Cache      string // folder of the change cache; "" is none
	// Registries is the client for images in registries; nil reaches none.
	Registries *registry.Client
	// Pieces keeps what was read of images in registries; nil keeps nothing.
	Pieces *blobcache.Cache
	// Proxy is for downloads; nil is none.
	Proxy store.Proxy
}

func (p Places) config() store.Config {
	return store.Config{Root: p.Store, DockerHost: p.DockerHost, TempDir: p.TempDir, Registries: p.Registries, Pieces: p.Pieces}
}
