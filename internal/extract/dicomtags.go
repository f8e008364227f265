package extract

// A dicomTag is a data element that becomes a key.
type dicomTag struct {
	tag  uint32 // group in the upper, element in the lower 16 bits
	key  string
	vr   string // for files that do not say it
	kind dicomKind
	unit string
	doc  string
	// identifying says that it is kept with Options.Identifying alone.
	identifying bool
}

// A dicomKind is what a value becomes.
type dicomKind int

const (
	dicomText dicomKind = iota
	dicomTexts
	dicomInt
	dicomNumber
	dicomNumbers
	dicomUIDName // the name of a UID
	dicomDate    // YYYYMMDD becomes YYYY-MM-DD
)

func (k dicomKind) typ() string {
	switch k {
	case dicomTexts:
		return "array of string"
	case dicomInt:
		return "integer"
	case dicomNumber:
		return "number"
	case dicomNumbers:
		return "array of number"
	}
	return "string"
}

// dicomTags is the complete list of what is told of a DICOM file. The first
// part does not identify a patient, in the sense of the Basic Application
// Confidentiality Profile (DICOM PS3.15, table E.1-1): no names, dates, UIDs,
// places, device numbers or texts that people write. The second part does,
// and is told on request alone. Nothing else of a file is told: other
// elements, private ones among them, are passed over.
func dicomTags() []dicomTag {
	return append(dicomPlainTags(), dicomIdentifyingTags()...)
}

func dicomPlainTags() []dicomTag {
	return []dicomTag{
		{tag: 0x00020010, key: "transfer_syntax", vr: "UI", kind: dicomUIDName, doc: "how the file is encoded"},
		{tag: 0x00080008, key: "image_type", vr: "CS", kind: dicomTexts, doc: "ORIGINAL or DERIVED, PRIMARY or SECONDARY, …"},
		{tag: 0x00080016, key: "sop_class", vr: "UI", kind: dicomUIDName, doc: "what the object is: MR Image Storage …"},
		{tag: 0x00080060, key: "modality", vr: "CS", doc: "MR, CT, PT, US …"},
		{tag: 0x00080070, key: "manufacturer", vr: "LO", doc: "maker of the device"},
		{tag: 0x00081090, key: "model", vr: "LO", doc: "the maker's name of the model"},
		{tag: 0x00180015, key: "body_part", vr: "CS", doc: "body part examined"},
		{tag: 0x00180020, key: "scanning_sequence", vr: "CS", kind: dicomTexts, doc: "SE, IR, GR, EP or RM"},
		{tag: 0x00180021, key: "sequence_variant", vr: "CS", kind: dicomTexts, doc: "SK, MTC, SS, SP …"},
		{tag: 0x00180023, key: "mr_acquisition_type", vr: "CS", doc: "2D or 3D"},
		{tag: 0x00180024, key: "sequence_name", vr: "SH", doc: "the maker's name of the pulse sequence"},
		{tag: 0x00180050, key: "slice_thickness", vr: "DS", kind: dicomNumber, unit: "mm", doc: "nominal thickness"},
		{tag: 0x00180060, key: "kvp", vr: "DS", kind: dicomNumber, unit: "kV", doc: "peak voltage of the X-ray generator"},
		{tag: 0x00180080, key: "repetition_time", vr: "DS", kind: dicomNumber, unit: "ms", doc: "TR"},
		{tag: 0x00180081, key: "echo_time", vr: "DS", kind: dicomNumber, unit: "ms", doc: "TE"},
		{tag: 0x00189082, key: "echo_time", vr: "FD", kind: dicomNumber, unit: "ms", doc: "effective TE, of multi-frame objects"},
		{tag: 0x00180082, key: "inversion_time", vr: "DS", kind: dicomNumber, unit: "ms", doc: "TI"},
		{tag: 0x00180087, key: "field_strength", vr: "DS", kind: dicomNumber, unit: "T", doc: "nominal field strength"},
		{tag: 0x00180088, key: "slice_spacing", vr: "DS", kind: dicomNumber, unit: "mm", doc: "distance of the centres of slices"},
		{tag: 0x00180091, key: "echo_train_length", vr: "IS", kind: dicomInt, doc: "lines acquired per excitation"},
		{tag: 0x00180095, key: "pixel_bandwidth", vr: "DS", kind: dicomNumber, unit: "Hz/pixel", doc: "receiver bandwidth"},
		{tag: 0x00181020, key: "software_versions", vr: "LO", kind: dicomTexts, doc: "of the device"},
		{tag: 0x00181151, key: "tube_current", vr: "IS", kind: dicomNumber, unit: "mA", doc: "X-ray tube current"},
		{tag: 0x00181210, key: "convolution_kernel", vr: "SH", kind: dicomTexts, doc: "of the reconstruction"},
		{tag: 0x00181314, key: "flip_angle", vr: "DS", kind: dicomNumber, unit: "degrees", doc: "of the magnetisation"},
		{tag: 0x00185100, key: "patient_position", vr: "CS", doc: "how the body lies in the device: HFS …"},
		{tag: 0x00200011, key: "series_number", vr: "IS", kind: dicomInt, doc: "number of the series in the study"},
		{tag: 0x00200012, key: "acquisition_number", vr: "IS", kind: dicomInt, doc: "number of the acquisition"},
		{tag: 0x00200013, key: "instance_number", vr: "IS", kind: dicomInt, doc: "number of the image in the series"},
		{tag: 0x00200060, key: "laterality", vr: "CS", doc: "R or L"},
		{tag: 0x00280002, key: "samples_per_pixel", vr: "US", kind: dicomInt, doc: "1 grey, 3 colour"},
		{tag: 0x00280004, key: "photometric", vr: "CS", doc: "MONOCHROME2, RGB …"},
		{tag: 0x00280008, key: "frames", vr: "IS", kind: dicomInt, doc: "of multi-frame objects"},
		{tag: 0x00280010, key: "rows", vr: "US", kind: dicomInt, unit: "pixels", doc: "height"},
		{tag: 0x00280011, key: "columns", vr: "US", kind: dicomInt, unit: "pixels", doc: "width"},
		{tag: 0x00280030, key: "pixel_spacing", vr: "DS", kind: dicomNumbers, unit: "mm", doc: "distance of rows, of columns"},
		{tag: 0x00280100, key: "bits_allocated", vr: "US", kind: dicomInt, unit: "bits", doc: "per sample"},
		{tag: 0x00280101, key: "bits_stored", vr: "US", kind: dicomInt, unit: "bits", doc: "of those that are allocated"},
		{tag: 0x00280103, key: "pixel_representation", vr: "US", kind: dicomInt, doc: "0 unsigned, 1 signed"},
		{tag: 0x00281052, key: "rescale_intercept", vr: "DS", kind: dicomNumber, doc: "a value is stored × slope + intercept"},
		{tag: 0x00281053, key: "rescale_slope", vr: "DS", kind: dicomNumber, doc: "see rescale_intercept"},
		{tag: 0x00282110, key: "lossy", vr: "CS", doc: "01 if compression lost information"},
	}
}

func dicomIdentifyingTags() []dicomTag {
	tags := []dicomTag{
		{tag: 0x00080018, key: "sop_instance_uid", vr: "UI", doc: "of the object"},
		{tag: 0x00080020, key: "study_date", vr: "DA", kind: dicomDate, doc: "YYYY-MM-DD"},
		{tag: 0x00080021, key: "series_date", vr: "DA", kind: dicomDate, doc: "YYYY-MM-DD"},
		{tag: 0x00080022, key: "acquisition_date", vr: "DA", kind: dicomDate, doc: "YYYY-MM-DD"},
		{tag: 0x00080030, key: "study_time", vr: "TM", doc: "HHMMSS"},
		{tag: 0x00080032, key: "acquisition_time", vr: "TM", doc: "HHMMSS"},
		{tag: 0x00080050, key: "accession_number", vr: "SH", doc: "of the order"},
		{tag: 0x00080080, key: "institution", vr: "LO", doc: "where the device is"},
		{tag: 0x00080090, key: "referring_physician", vr: "PN", doc: "name"},
		{tag: 0x00081010, key: "station_name", vr: "SH", doc: "of the device"},
		{tag: 0x00081030, key: "study_description", vr: "LO", doc: "free text"},
		{tag: 0x0008103e, key: "series_description", vr: "LO", doc: "free text"},
		{tag: 0x00100010, key: "patient_name", vr: "PN", doc: "family^given"},
		{tag: 0x00100020, key: "patient_id", vr: "LO", doc: "in the hospital"},
		{tag: 0x00100030, key: "patient_birth_date", vr: "DA", kind: dicomDate, doc: "YYYY-MM-DD"},
		{tag: 0x00100040, key: "patient_sex", vr: "CS", doc: "M, F or O"},
		{tag: 0x00101010, key: "patient_age", vr: "AS", doc: "as 042Y"},
		{tag: 0x00101020, key: "patient_size", vr: "DS", kind: dicomNumber, unit: "m", doc: "height"},
		{tag: 0x00101030, key: "patient_weight", vr: "DS", kind: dicomNumber, unit: "kg", doc: "weight"},
		{tag: 0x00181000, key: "device_serial_number", vr: "LO", doc: "of the device"},
		{tag: 0x00181030, key: "protocol_name", vr: "LO", doc: "free text"},
		{tag: 0x0020000d, key: "study_uid", vr: "UI", doc: "of the study"},
		{tag: 0x0020000e, key: "series_uid", vr: "UI", doc: "of the series"},
		{tag: 0x00200010, key: "study_id", vr: "SH", doc: "of the study"},
	}
	for i := range tags {
		tags[i].identifying = true
	}
	return tags
}

// dicomUIDNames are the names of transfer syntaxes and SOP classes, by what
// follows "1.2.840.10008." (DICOM PS3.6, table A-1).
func dicomUIDNames() map[string]string {
	return map[string]string{
		"1.2":       "Implicit VR Little Endian",
		"1.2.1":     "Explicit VR Little Endian",
		"1.2.1.98":  "Encapsulated Uncompressed Explicit VR Little Endian",
		"1.2.1.99":  "Deflated Explicit VR Little Endian",
		"1.2.2":     "Explicit VR Big Endian",
		"1.2.4.50":  "JPEG Baseline (Process 1)",
		"1.2.4.51":  "JPEG Extended (Process 2 & 4)",
		"1.2.4.57":  "JPEG Lossless, Non-Hierarchical (Process 14)",
		"1.2.4.70":  "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
		"1.2.4.80":  "JPEG-LS Lossless Image Compression",
		"1.2.4.81":  "JPEG-LS Lossy (Near-Lossless) Image Compression",
		"1.2.4.90":  "JPEG 2000 Image Compression (Lossless Only)",
		"1.2.4.91":  "JPEG 2000 Image Compression",
		"1.2.4.100": "MPEG2 Main Profile / Main Level",
		"1.2.4.102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
		"1.2.4.107": "HEVC/H.265 Main Profile / Level 5.1",
		"1.2.4.201": "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
		"1.2.4.203": "High-Throughput JPEG 2000 Image Compression",
		"1.2.5":     "RLE Lossless",
		"1.3.10":    "Media Storage Directory Storage",

		"5.1.4.1.1.1":        "Computed Radiography Image Storage",
		"5.1.4.1.1.1.1":      "Digital X-Ray Image Storage - For Presentation",
		"5.1.4.1.1.1.1.1":    "Digital X-Ray Image Storage - For Processing",
		"5.1.4.1.1.1.2":      "Digital Mammography X-Ray Image Storage - For Presentation",
		"5.1.4.1.1.1.2.1":    "Digital Mammography X-Ray Image Storage - For Processing",
		"5.1.4.1.1.2":        "CT Image Storage",
		"5.1.4.1.1.2.1":      "Enhanced CT Image Storage",
		"5.1.4.1.1.3.1":      "Ultrasound Multi-frame Image Storage",
		"5.1.4.1.1.4":        "MR Image Storage",
		"5.1.4.1.1.4.1":      "Enhanced MR Image Storage",
		"5.1.4.1.1.4.2":      "MR Spectroscopy Storage",
		"5.1.4.1.1.4.3":      "Enhanced MR Color Image Storage",
		"5.1.4.1.1.6.1":      "Ultrasound Image Storage",
		"5.1.4.1.1.6.2":      "Enhanced US Volume Storage",
		"5.1.4.1.1.7":        "Secondary Capture Image Storage",
		"5.1.4.1.1.7.1":      "Multi-frame Single Bit Secondary Capture Image Storage",
		"5.1.4.1.1.7.2":      "Multi-frame Grayscale Byte Secondary Capture Image Storage",
		"5.1.4.1.1.7.3":      "Multi-frame Grayscale Word Secondary Capture Image Storage",
		"5.1.4.1.1.7.4":      "Multi-frame True Color Secondary Capture Image Storage",
		"5.1.4.1.1.9.1.1":    "12-lead ECG Waveform Storage",
		"5.1.4.1.1.9.1.2":    "General ECG Waveform Storage",
		"5.1.4.1.1.11.1":     "Grayscale Softcopy Presentation State Storage",
		"5.1.4.1.1.12.1":     "X-Ray Angiographic Image Storage",
		"5.1.4.1.1.12.2":     "X-Ray Radiofluoroscopic Image Storage",
		"5.1.4.1.1.13.1.3":   "Breast Tomosynthesis Image Storage",
		"5.1.4.1.1.20":       "Nuclear Medicine Image Storage",
		"5.1.4.1.1.66":       "Raw Data Storage",
		"5.1.4.1.1.66.1":     "Spatial Registration Storage",
		"5.1.4.1.1.66.4":     "Segmentation Storage",
		"5.1.4.1.1.67":       "Real World Value Mapping Storage",
		"5.1.4.1.1.77.1.1":   "VL Endoscopic Image Storage",
		"5.1.4.1.1.77.1.2":   "VL Microscopic Image Storage",
		"5.1.4.1.1.77.1.4":   "VL Photographic Image Storage",
		"5.1.4.1.1.77.1.5.1": "Ophthalmic Photography 8 Bit Image Storage",
		"5.1.4.1.1.77.1.5.4": "Ophthalmic Tomography Image Storage",
		"5.1.4.1.1.77.1.6":   "VL Whole Slide Microscopy Image Storage",
		"5.1.4.1.1.88.11":    "Basic Text SR Storage",
		"5.1.4.1.1.88.22":    "Enhanced SR Storage",
		"5.1.4.1.1.88.33":    "Comprehensive SR Storage",
		"5.1.4.1.1.88.59":    "Key Object Selection Document Storage",
		"5.1.4.1.1.88.67":    "X-Ray Radiation Dose SR Storage",
		"5.1.4.1.1.104.1":    "Encapsulated PDF Storage",
		"5.1.4.1.1.128":      "Positron Emission Tomography Image Storage",
		"5.1.4.1.1.130":      "Enhanced PET Image Storage",
		"5.1.4.1.1.481.1":    "RT Image Storage",
		"5.1.4.1.1.481.2":    "RT Dose Storage",
		"5.1.4.1.1.481.3":    "RT Structure Set Storage",
		"5.1.4.1.1.481.5":    "RT Plan Storage",
	}
}
