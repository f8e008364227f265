package generate

// Rows is how rows are written.
func Rows(files []File) string { return rows(files) }
