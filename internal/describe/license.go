package describe

import (
	"regexp"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// setLicense makes s, which may be an identifier, a common name, a URL or the
// text of a licence, the licence of ds. What cannot be told is kept as it is,
// as its rights.
func setLicense(ds *catalog.Dataset, s string) {
	s = strings.TrimSpace(s)
	if s == "" || ds.License != "" {
		return
	}
	if ds.License = LicenseID(s); ds.License != "" {
		ds.Rights = ""
	} else if ds.Rights == "" {
		ds.Rights = clean(s)
	}
}

// LicenseID returns the SPDX identifier, or expression, that s stands for: it
// is one, in any case, the common name of a licence, its URL, or text with the
// URL or the characteristic words of just one licence. "" is for all else.
func LicenseID(s string) string {
	s = strings.TrimSpace(s)
	if id := licenseName(s); id != "" {
		return id
	}
	if id := licenseExpression(s); id != "" {
		return id
	}
	if id := licenseURL(s); id != "" {
		return id
	}
	return licenseText(s)
}

// licenseIDs are identifiers of SPDX that data has, and some of software.
const licenseIDs = `0BSD AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0
	CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-3.0-US CC-BY-4.0
	CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0
	CC-BY-ND-3.0 CC-BY-ND-4.0 CC-BY-SA-2.0 CC-BY-SA-2.5 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-PDDC CC0-1.0
	CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0 C-UDA-1.0 DL-DE-BY-2.0 DL-DE-ZERO-2.0 EPL-2.0 EUPL-1.2
	GFDL-1.3-only GFDL-1.3-or-later GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC
	LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0
	ODbL-1.0 ODC-By-1.0 OGL-UK-3.0 OGL-Canada-2.0 PDDL-1.0 Unlicense Zlib`

// licenseAliases are names that people and older standards use, as
// normalName has them.
const licenseAliases = `CC0=CC0-1.0 CC-0=CC0-1.0 CC-ZERO=CC0-1.0 CC0-1=CC0-1.0 PUBLICDOMAIN=CC-PDDC PD=CC-PDDC PUBLIC-DOMAIN=CC-PDDC
	PDDL=PDDL-1.0 ODC-PDDL=PDDL-1.0 ODC-PDDL-1.0=PDDL-1.0
	ODBL=ODbL-1.0 ODC-ODBL=ODbL-1.0 ODC-ODBL-1.0=ODbL-1.0 ODC-BY=ODC-By-1.0 ODC-BY-1=ODC-By-1.0
	CC-BY-4=CC-BY-4.0 CC-BY-SA-4=CC-BY-SA-4.0 CC-BY-NC-4=CC-BY-NC-4.0 CC-BY-3=CC-BY-3.0 CC-BY-SA-3=CC-BY-SA-3.0
	APACHE-2=Apache-2.0 APACHE2=Apache-2.0 APACHE=Apache-2.0 APACHE-LICENSE-2.0=Apache-2.0
	EXPAT=MIT MIT-LICENSE=MIT BSD-2=BSD-2-Clause BSD-3=BSD-3-Clause BSD-NEW=BSD-3-Clause
	GPL-2=GPL-2.0-only GPL-2.0=GPL-2.0-only GPLV2=GPL-2.0-only GPL-2+=GPL-2.0-or-later GPL-2.0+=GPL-2.0-or-later
	GPL-3=GPL-3.0-only GPL-3.0=GPL-3.0-only GPLV3=GPL-3.0-only GPL-3+=GPL-3.0-or-later GPL-3.0+=GPL-3.0-or-later
	LGPL-2.1=LGPL-2.1-only LGPL-3=LGPL-3.0-only LGPL-3.0=LGPL-3.0-only LGPLV3=LGPL-3.0-only
	AGPL-3=AGPL-3.0-only AGPL-3.0=AGPL-3.0-only AGPLV3=AGPL-3.0-only MPL-2=MPL-2.0 EUPL=EUPL-1.2`

// normalName makes spellings of a name alike: "cc by 4.0", "CC_BY-4.0".
func normalName(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToUpper(s), func(r rune) bool { return strings.ContainsRune(" \t\n_-,", r) }), "-")
	s = strings.TrimPrefix(s, "LICENSE-")
	for _, tail := range []string{"-LICENSE", "-LICENCE", "-INTERNATIONAL"} {
		s = strings.TrimSuffix(s, tail)
	}
	return strings.TrimSuffix(s, "-UNIVERSAL")
}

// licenseName returns the identifier for a name.
func licenseName(s string) string {
	if len(s) > 60 {
		return ""
	}
	want := normalName(s)
	if strings.HasPrefix(s, "LicenseRef-") && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") == "" {
		return s
	}
	for id := range strings.FieldsSeq(licenseIDs) {
		if strings.ToUpper(id) == want {
			return id
		}
	}
	for pair := range strings.FieldsSeq(licenseAliases) {
		if alias, id, _ := strings.Cut(pair, "="); alias == want {
			return id
		}
	}
	return ""
}

// licenseExpression returns an expression of identifiers with AND, OR and
// parentheses in its usual form.
func licenseExpression(s string) string {
	fields := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))
	if len(fields) < 3 || len(fields) > 30 {
		return ""
	}
	depth, operand := 0, true // an operand comes next
	for i, f := range fields {
		switch {
		case f == "(" && operand:
			depth++
		case f == ")" && !operand && depth > 0:
			depth--
		case (f == "AND" || f == "OR") && !operand:
			operand = true
		case operand:
			if fields[i] = licenseName(f); fields[i] == "" {
				return ""
			}
			operand = false
		default:
			return ""
		}
	}
	if operand || depth > 0 {
		return ""
	}
	return strings.NewReplacer("( ", "(", " )", ")").Replace(strings.Join(fields, " "))
}

// licenseURL returns the identifier for the one licence whose URL is in s.
func licenseURL(s string) string {
	if len(s) > 4096 {
		s = s[:4096]
	}
	lower := strings.ToLower(s)
	found := ""
	add := func(id string) bool {
		if found != "" && id != "" && found != id {
			return false
		}
		if id != "" {
			found = id
		}
		return true
	}
	for _, m := range regexp.MustCompile(`creativecommons\.org/licenses/([a-z-]+)/([0-9.]+[0-9])`).FindAllStringSubmatch(lower, 10) {
		if !add(licenseName("CC-" + m[1] + "-" + m[2])) {
			return ""
		}
	}
	for _, m := range regexp.MustCompile(`spdx\.org/licenses/([a-z0-9.+-]+)`).FindAllStringSubmatch(lower, 10) {
		id := strings.TrimRight(m[1], ".")
		for _, ext := range []string{".html", ".json", ".txt"} {
			id = strings.TrimSuffix(id, ext)
		}
		if !add(licenseName(id)) {
			return ""
		}
	}
	for part, id := range map[string]string{
		"creativecommons.org/publicdomain/zero/1.0": "CC0-1.0",
		"creativecommons.org/publicdomain/mark/1.0": "CC-PDDC",
		"opendatacommons.org/licenses/pddl":         "PDDL-1.0",
		"opendatacommons.org/licenses/odbl":         "ODbL-1.0",
		"opendatacommons.org/licenses/by":           "ODC-By-1.0",
		"opensource.org/licenses/mit":               "MIT",
		"opensource.org/license/mit":                "MIT",
		"apache.org/licenses/license-2.0":           "Apache-2.0",
		"gnu.org/licenses/gpl-3.0":                  "GPL-3.0-only",
	} {
		if strings.Contains(lower, part) && !add(id) {
			return ""
		}
	}
	return found
}

// licenseText returns the identifier of the licence whose words s has: the
// text of a licence, or a sentence that names it.
func licenseText(s string) string {
	s = strings.ToLower(line(s))
	for _, l := range []struct {
		id    string
		words []string // all of them
	}{
		{"CC0-1.0", []string{"cc0 1.0"}},
		{"CC0-1.0", []string{"creative commons zero"}},
		{"CC0-1.0", []string{"creative commons cc0"}},
		{"CC-BY-NC-SA-4.0", []string{"attribution-noncommercial-sharealike 4.0"}},
		{"CC-BY-NC-ND-4.0", []string{"attribution-noncommercial-noderivatives 4.0"}},
		{"CC-BY-NC-4.0", []string{"attribution-noncommercial 4.0"}},
		{"CC-BY-ND-4.0", []string{"attribution-noderivatives 4.0"}},
		{"CC-BY-SA-4.0", []string{"attribution-sharealike 4.0"}},
		{"CC-BY-SA-3.0", []string{"attribution-sharealike 3.0 unported"}},
		{"CC-BY-4.0", []string{"attribution 4.0 international"}},
		{"CC-BY-3.0", []string{"attribution 3.0 unported"}},
		{"PDDL-1.0", []string{"public domain dedication and license", "pddl"}},
		{"PDDL-1.0", []string{"public domain dedication & license"}},
		{"ODbL-1.0", []string{"open database license (odbl)"}},
		{"ODbL-1.0", []string{"odc open database license"}},
		{"ODC-By-1.0", []string{"odc attribution license"}},
		{"ODC-By-1.0", []string{"open data commons attribution license"}},
		{"CDLA-Permissive-2.0", []string{"community data license agreement - permissive - version 2.0"}},
		{"CDLA-Permissive-1.0", []string{"community data license agreement – permissive – version 1.0"}},
		{"CDLA-Sharing-1.0", []string{"community data license agreement – sharing – version 1.0"}},
		{"Apache-2.0", []string{"apache license", "version 2.0"}},
		{"AGPL-3.0-only", []string{"gnu affero general public license version 3"}},
		{"LGPL-3.0-only", []string{"gnu lesser general public license version 3"}},
		{"LGPL-2.1-only", []string{"gnu lesser general public license version 2.1"}},
		{"GPL-3.0-only", []string{"gnu general public license version 3, 29 june 2007"}},
		{"GPL-2.0-only", []string{"gnu general public license version 2, june 1991"}},
		{"MPL-2.0", []string{"mozilla public license version 2.0"}},
		{"EUPL-1.2", []string{"european union public licence v. 1.2"}},
		{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
		{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
		{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
		{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"}},
		{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "without warranty of any kind"}},
	} {
		all := true
		for _, w := range l.words {
			all = all && strings.Contains(s, w)
		}
		if all {
			return l.id
		}
	}
	// "PDDL (https://…)", "CC0 (see below)": what stands before parentheses.
	if name, _, ok := strings.Cut(s, "("); ok {
		return licenseName(strings.TrimSpace(name))
	}
	return ""
}

// readLicense reads the text of a licence. Of one that is unknown nothing is
// taken: the file itself is in the dataset.
func readLicense(b []byte) (*catalog.Dataset, error) {
	text := string(b)
	ds := &catalog.Dataset{License: licenseName(strings.TrimSpace(text))}
	if ds.License == "" {
		ds.License = licenseText(text)
	}
	if ds.License == "" {
		ds.License = licenseURL(text)
	}
	return ds, nil
}
