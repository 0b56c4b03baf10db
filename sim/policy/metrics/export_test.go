package metrics

// Fresh makes the store forget results, as a scrape does.
func (s *Store) Fresh() { s.generation++ }

// Forget makes the store forget results and what they were made from.
func (s *Store) Forget() {
	for _, q := range s.queries {
		q.have, q.memos = false, nil
	}
}

// Memo is what the store remembers of an expression: the same one as long as it is used.
func (s *Store) Memo(text string) any { return s.queries[text].memos[""] }
