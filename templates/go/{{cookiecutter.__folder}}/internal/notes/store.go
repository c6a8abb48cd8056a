// Package notes is the example resource: short texts, kept in memory.
package notes

import (
	"slices"
	"sync"
	"time"
	"uuid"
)

// Note is a stored text.
type Note struct {
	ID        string    `json:"id"`
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"created_at"`
}

// Store keeps the newest notes in memory; it may be used by many goroutines.
type Store struct {
	mu       sync.RWMutex
	capacity int
	notes    []Note // oldest first
}

// NewStore returns an empty store that forgets its oldest note for each one above capacity.
func NewStore(capacity int) *Store {
	return &Store{capacity: capacity}
}

// Add stores text as a new note.
func (s *Store) Add(text string) Note {
	note := Note{ID: uuid.New().String(), Text: text, CreatedAt: time.Now().UTC()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notes) == s.capacity {
		s.notes = slices.Delete(s.notes, 0, 1)
	}
	s.notes = append(s.notes, note)
	return note
}

// All returns the notes, newest first.
func (s *Store) All() []Note {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Clone(s.notes)
	slices.Reverse(all)
	return all
}

// Get returns the note with this id, and whether there is one.
func (s *Store) Get(id string) (Note, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i := s.index(id); i >= 0 {
		return s.notes[i], true
	}
	return Note{}, false
}

// Delete removes the note with this id and returns whether there was one.
func (s *Store) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(id)
	if i < 0 {
		return false
	}
	s.notes = slices.Delete(s.notes, i, i+1)
	return true
}

func (s *Store) index(id string) int {
	return slices.IndexFunc(s.notes, func(n Note) bool { return n.ID == id })
}
