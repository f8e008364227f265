package catalog

// Member is member, for tests.
func Member(obj, name string) string { return member(obj, name) }

// SetSortMemory makes db order with this many bytes, until restore is called.
func SetSortMemory(db *DB, n int) (restore func()) {
	old := db.sortMemory
	db.sortMemory = n
	return func() { db.sortMemory = old }
}

// ParseQuery reads a named query.
func ParseQuery(s string) (NamedQuery, error) { return parseQuery(s) }
