package extract

func compressedFormats() []*Format { return nil }
