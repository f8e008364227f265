package cdb

import "sync/atomic"

// Progress counts what a verb has done so far. The verb adds, and whoever
// made it samples it at leisure. A nil Progress counts nothing.
type Progress struct {
	phase atomic.Pointer[string]
	// TotalFiles and TotalBytes are 0 until they are known.
	totalFiles, totalBytes atomic.Int64
	files, bytes           atomic.Int64
}

// A ProgressSample is a Progress at one moment.
type ProgressSample struct {
	Phase                  string // what is being done, such as "pack"
	Files, Bytes           int64
	TotalFiles, TotalBytes int64 // 0 as long as they are not known
}

// Sample returns the counts of this moment.
func (p *Progress) Sample() ProgressSample {
	if p == nil {
		return ProgressSample{}
	}
	s := ProgressSample{
		Files: p.files.Load(), Bytes: p.bytes.Load(),
		TotalFiles: p.totalFiles.Load(), TotalBytes: p.totalBytes.Load(),
	}
	if phase := p.phase.Load(); phase != nil {
		s.Phase = *phase
	}
	return s
}

func (p *Progress) setPhase(phase string) {
	if p != nil {
		p.phase.Store(&phase)
	}
}

// restart begins a phase that counts anew.
func (p *Progress) restart(phase string) {
	if p != nil {
		p.setPhase(phase)
		p.setTotal(0, 0)
		p.files.Store(0)
		p.bytes.Store(0)
	}
}

func (p *Progress) setTotal(files, bytes int64) {
	if p != nil {
		p.totalFiles.Store(files)
		p.totalBytes.Store(bytes)
	}
}

func (p *Progress) addFile() {
	if p != nil {
		p.files.Add(1)
	}
}

func (p *Progress) addBytes(n int64) {
	if p != nil {
		p.bytes.Add(n)
	}
}
