package requests

import "io"

type slice struct {
	header Header
	rest   []Request
}

// Header implements Source.
func (s *slice) Header() Header { return s.header }

// Next implements Source.
func (s *slice) Next() (Request, error) {
	if len(s.rest) == 0 {
		return Request{}, io.EOF
	}
	r := s.rest[0]
	s.rest = s.rest[1:]
	return r, nil
}

// Close implements Source.
func (s *slice) Close() error {
	s.rest = nil
	return nil
}

// ReadAll reads the rest of src into memory. It does not close src.
func ReadAll(src Source) ([]Request, error) {
	var out []Request
	for {
		r, err := src.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
}
