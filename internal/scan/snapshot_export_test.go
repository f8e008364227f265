package scan

// DecodeRecords decodes the payload of a block of records, for its own sake.
func DecodeRecords(payload []byte) ([]Record, error) {
	var rr recordReader
	if err := rr.reset(payload); err != nil {
		return nil, err
	}
	var all []Record
	for len(rr.d.data) > 0 {
		var r Record
		if err := rr.next(&r); err != nil {
			return all, err
		}
		r.Path = string(rr.path)
		all = append(all, r)
	}
	return all, nil
}

// EncodeRecords is the inverse of DecodeRecords.
func EncodeRecords(records []Record) []byte {
	b := []byte{1}
	var s recordState
	path := ""
	for i := range records {
		b = s.appendTo(b, &records[i], commonPrefix(path, records[i].Path))
		path = records[i].Path
	}
	return b
}

// DecodePack decodes the payload of a pack's block.
func DecodePack(payload []byte) error {
	_, err := parsePack(payload)
	return err
}

// ComparePaths compares as a walk does.
func ComparePaths(a string, aIsDir bool, b string, bIsDir bool) int {
	return comparePaths(a, aIsDir, []byte(b), bIsDir)
}
