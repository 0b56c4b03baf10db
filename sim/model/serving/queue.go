package serving

// list is a doubly linked list of sequences; a sequence is in one at a time.
type list struct {
	head, tail *seq
	n          int
}

func (l *list) pushBack(s *seq) {
	s.prev, s.next = l.tail, nil
	if l.tail == nil {
		l.head = s
	} else {
		l.tail.next = s
	}
	l.tail = s
	l.n++
}

func (l *list) pushFront(s *seq) {
	s.prev, s.next = nil, l.head
	if l.head == nil {
		l.tail = s
	} else {
		l.head.prev = s
	}
	l.head = s
	l.n++
}

func (l *list) remove(s *seq) {
	if s.prev == nil {
		l.head = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.tail = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.n--
}

// finishes is a heap of decoding sequences by the iteration that ends them, and then by admission.
type finishes []*seq

func (h finishes) less(i, j int) bool {
	return h[i].last < h[j].last || h[i].last == h[j].last && h[i].order < h[j].order
}

func (h finishes) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h finishes) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !h.less(i, p) {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h finishes) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			return
		}
		h.swap(i, c)
		i = c
	}
}

func (h *finishes) push(s *seq) {
	s.place = len(*h)
	*h = append(*h, s)
	h.up(s.place)
}

func (h *finishes) remove(s *seq) {
	i, n := s.place, len(*h)-1
	if i != n {
		h.swap(i, n)
	}
	(*h)[n] = nil
	*h = (*h)[:n]
	if i < n {
		h.down(i)
		h.up(i)
	}
}
