package standard

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
)

// iriPath returns a path as a relative reference: all bytes but unreserved
// ones and slashes are percent-encoded, so it has neither a scheme, a query
// nor a fragment, is ASCII whatever the bytes were, and no JSON-LD keyword.
func iriPath(path string) string { return escape(path, true) }

// iriPart is iriPath for one part, in which a slash is no separator.
func iriPart(s string) string { return escape(s, false) }

func escape(s string, slash bool) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0, c == '/' && slash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// digestIRI returns the name of the dataset by its digest, as in RFC 6920.
func digestIRI(ds *catalog.Dataset) string {
	sum, err := hex.DecodeString(strings.TrimPrefix(ds.Digest, "sha256:"))
	if err != nil {
		return ""
	}
	return "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(sum)
}

// doiURL returns the URL of the DOI, or "".
func doiURL(ds *catalog.Dataset) string {
	if doi := ds.DOI(); doi != "" {
		return "https://doi.org/" + escapeDOI(doi)
	}
	return ""
}

// escapeDOI leaves what a URL may have as it is.
func escapeDOI(doi string) string {
	return strings.NewReplacer("%", "%25", "<", "%3C", ">", "%3E", "\"", "%22", "#", "%23", "?", "%3F", " ", "%20",
		"\\", "%5C", "^", "%5E", "`", "%60", "{", "%7B", "|", "%7C", "}", "%7D", "[", "%5B", "]", "%5D").Replace(doi)
}

// datasetURL returns the best URL there is: of the page, of the DOI, or the
// name by digest.
func datasetURL(ds *catalog.Dataset) string {
	for _, u := range []string{ds.URL, doiURL(ds)} {
		if u != "" {
			return u
		}
	}
	return digestIRI(ds)
}

// datasetTitle returns the title, or a name that says what it is not.
func datasetTitle(ds *catalog.Dataset) string {
	if ds.Title != "" {
		return ds.Title
	}
	d := strings.TrimPrefix(ds.Digest, "sha256:")
	return "Dataset " + d[:min(12, len(d))]
}

// licenseURL returns the URL of a licence that is one identifier of SPDX, or
// one that stands as the rights.
func licenseURL(ds *catalog.Dataset) string {
	if ds.License != "" && !strings.ContainsAny(ds.License, " ()") && !strings.HasPrefix(ds.License, "LicenseRef-") {
		return "https://spdx.org/licenses/" + iriPart(ds.License)
	}
	if isURL(ds.Rights) {
		return ds.Rights
	}
	return ""
}

// licenseText returns what there is to say of the licence.
func licenseText(ds *catalog.Dataset) string {
	if ds.License != "" {
		return ds.License
	}
	return ds.Rights
}

func isURL(s string) bool {
	return (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")) && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || strings.ContainsRune("\"<>\\^`{|}", r)
	}) < 0
}

// published returns the date of publication, or else that of the newest file.
func published(ds *catalog.Dataset) string {
	if ds.DatePublished != "" {
		return ds.DatePublished
	}
	return ds.Created.UTC().Format(time.DateOnly)
}

// modified returns the date of the last change.
func modified(ds *catalog.Dataset) string {
	if ds.DateModified != "" {
		return ds.DateModified
	}
	return ds.Created.UTC().Format(time.DateOnly)
}

func orcidURL(p *catalog.Person) string {
	orcid := catalog.ParseORCID(p.ORCID)
	if orcid == "" {
		return ""
	}
	return "https://orcid.org/" + orcid
}

// count returns "1 file", "12 files".
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(n, 10) + " " + what
}

// size returns a number of bytes with a unit, for people.
func size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 6 {
		f /= 1000
		unit++
	}
	return fmt.Sprintf("%.3g %cB", f, " kMGTPE"[unit])
}

// cut returns at most n characters of s.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
