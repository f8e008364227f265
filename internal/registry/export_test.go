package registry

// Parsers and tools for tests.
var (
	ContentRange  = contentRange
	UploadedRange = uploadedRange
	NextLink      = nextLink
	RetryAfter    = retryAfter
	Describe      = describe
	Printable     = printable
	StatusErrorOf = statusError
	IsLoopback    = isLoopback
	ReferrersTag  = referrersTag
)

// Limit of what a StatusError takes over of an answer.
const MaxMessage = 300
