package worker

import (
	"bufio"
	"io"
)

// ReadValue reads a reply and the value in it.
func ReadValue(in io.Reader) (Value, error) {
	r, err := readReply(in)
	if err != nil {
		return Value{}, err
	}
	return r.value()
}

// ReadAnswer reads a line that answers the question with an ID, and the value
// in it.
func ReadAnswer(in io.Reader, id int64) (v Value, said, err error) {
	line, err := readLine(bufio.NewReader(in))
	if err != nil {
		return Value{}, nil, err
	}
	return parseAnswer(line, id)
}
