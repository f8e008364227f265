package worker

import "io"

// ReadValue reads a reply and the value in it.
func ReadValue(in io.Reader) (Value, error) {
	r, err := readReply(in)
	if err != nil {
		return Value{}, err
	}
	return r.value()
}
