package registry

import "strings"

// Limit is what is known of a registry's limits.
type Limit struct {
	// Layer is the size of the largest blob in bytes; 0 is not known.
	Layer int64
	// NoChunks says that large blobs are to be sent in one go.
	NoChunks bool
}

// Limits returns what a registry is known to take. The figures are those that
// the registries document, or that their users met (2026).
func Limits(hostName string) Limit {
	switch {
	case hostName == "ghcr.io":
		return Limit{Layer: 10e9, NoChunks: true}
	case hostName == "public.ecr.aws":
		return Limit{Layer: 10_000 << 20, NoChunks: true}
	case strings.Contains(hostName, ".dkr.ecr.") && strings.Contains(hostName, ".amazonaws.com"):
		return Limit{Layer: 52_000 << 20, NoChunks: true}
	case strings.HasSuffix(hostName, ".azurecr.io"):
		return Limit{Layer: 200 << 30}
	case hostName == "quay.io":
		return Limit{Layer: 20e9}
	}
	return Limit{}
}
