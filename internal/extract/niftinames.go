package extract

import (
	"encoding/binary"
	"math"
	"strings"
)

func endianName(o binary.ByteOrder) string {
	if o == binary.BigEndian {
		return "big"
	}
	return "little"
}

// niftiTypes are the names and sizes of data types, by code (nifti1.h,
// "NIFTI1_DATATYPES").
func niftiTypes(code int) (name string, bits float64) {
	switch code {
	case 1:
		return "bool", 1
	case 2:
		return "uint8", 8
	case 4:
		return "int16", 16
	case 8:
		return "int32", 32
	case 16:
		return "float32", 32
	case 32:
		return "complex64", 64
	case 64:
		return "float64", 64
	case 128:
		return "rgb24", 24
	case 256:
		return "int8", 8
	case 512:
		return "uint16", 16
	case 768:
		return "uint32", 32
	case 1024:
		return "int64", 64
	case 1280:
		return "uint64", 64
	case 1536:
		return "float128", 128
	case 1792:
		return "complex128", 128
	case 2048:
		return "complex256", 256
	case 2304:
		return "rgba32", 32
	}
	return "", 0
}

func niftiType(code int) string {
	name, _ := niftiTypes(code)
	return name
}

func niftiBits(code int) float64 {
	_, bits := niftiTypes(code)
	return bits
}

// niftiIntent names an intent code (nifti1.h, "NIFTI1_INTENT_CODES"), "" for
// none.
func niftiIntent(code int) string {
	statistics := strings.Split("correlation,t test,f test,z score,chi squared,beta,binomial,gamma,poisson,normal,"+
		"noncentral f,noncentral chi squared,logistic,laplace,uniform,noncentral t,weibull,chi,inverse gaussian,"+
		"extreme value,p value,log p value,log10 p value", ",")
	others := strings.Split("estimate,label,neuronames,general matrix,symmetric matrix,displacement vector,vector,"+
		"pointset,triangle,quaternion,dimensionless", ",")
	meshes := strings.Split("time series,node index,rgb vector,rgba vector,shape", ",")
	switch {
	case code >= 2 && code < 2+len(statistics):
		return statistics[code-2]
	case code >= 1001 && code < 1001+len(others):
		return others[code-1001]
	case code >= 2001 && code < 2001+len(meshes):
		return meshes[code-2001]
	case code == 2006:
		return "fsl fnirt displacement field"
	case code >= 3001 && code <= 3099:
		return "connectivity"
	}
	return ""
}

// space names the code of the transform that counts.
func (h *niftiHeader) space() string {
	code := h.sform
	if code <= 0 {
		code = h.qform
	}
	names := []string{"", "scanner", "aligned", "talairach", "mni152", "template"}
	if code < 1 || code >= len(names) {
		return ""
	}
	return names[code]
}

// orientation returns the directions of the axes, such as "RAS", from sform,
// else from qform; "" for neither.
func (h *niftiHeader) orientation() string {
	var r [3][3]float64
	switch {
	case h.sform > 0:
		for i := range r {
			copy(r[i][:], h.srow[i][:3])
		}
	case h.qform > 0:
		r = h.rotation()
	default:
		return ""
	}
	for j := range 3 { // columns are directions: their lengths do not count
		l := math.Sqrt(r[0][j]*r[0][j] + r[1][j]*r[1][j] + r[2][j]*r[2][j])
		if !(l > 0) || math.IsInf(l, 0) {
			return ""
		}
		for i := range 3 {
			r[i][j] /= l
		}
	}
	return axisCodes(r)
}

// axisCodes gives each column of r the world axis it is nearest to, the
// clearest first, each axis once.
func axisCodes(r [3][3]float64) string {
	codes := []byte("???")
	var row, col [3]bool
	for range 3 {
		bi, bj, best := -1, -1, -1.0
		for i := range 3 {
			for j := range 3 {
				if a := math.Abs(r[i][j]); !row[i] && !col[j] && a > best {
					bi, bj, best = i, j, a
				}
			}
		}
		if bi < 0 {
			return ""
		}
		row[bi], col[bj] = true, true
		codes[bj] = "RAS"[bi]
		if r[bi][bj] < 0 {
			codes[bj] = "LPI"[bi]
		}
	}
	return string(codes)
}

// rotation is the matrix of the quaternion of qform (nifti1.h, "METHOD 2").
func (h *niftiHeader) rotation() [3][3]float64 {
	b, c, d := h.quatern[0], h.quatern[1], h.quatern[2]
	a := math.Sqrt(math.Max(0, 1-(b*b+c*c+d*d)))
	q := 1.0
	if h.pixdim[0] < 0 {
		q = -1
	}
	return [3][3]float64{
		{a*a + b*b - c*c - d*d, 2*b*c - 2*a*d, q * (2*b*d + 2*a*c)},
		{2*b*c + 2*a*d, a*a + c*c - b*b - d*d, q * (2*c*d - 2*a*b)},
		{2*b*d - 2*a*c, 2*c*d + 2*a*b, q * (a*a + d*d - c*c - b*b)},
	}
}
