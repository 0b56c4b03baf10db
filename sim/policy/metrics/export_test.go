package metrics

// Fresh makes the store forget results, as a scrape does.
func (s *Store) Fresh() { s.generation++ }
