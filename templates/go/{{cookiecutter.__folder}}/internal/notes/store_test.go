package notes_test

import (
	"strconv"
	"sync"
	"testing"

	"{{ cookiecutter.go_module }}/internal/notes"
)

func texts(store *notes.Store) (all []string) {
	for _, note := range store.All() {
		all = append(all, note.Text)
	}
	return all
}

func TestAFullStoreForgetsItsOldestNote(t *testing.T) {
	store := notes.NewStore(2)
	oldest := store.Add("one")
	store.Add("two")
	store.Add("three")
	if got := texts(store); len(got) != 2 || got[0] != "three" || got[1] != "two" {
		t.Errorf("got %q", got)
	}
	if _, ok := store.Get(oldest.ID); ok {
		t.Error("the oldest is still there")
	}
}

func TestADeletedNoteIsGoneAndTheOthersStay(t *testing.T) {
	store := notes.NewStore(3)
	store.Add("one")
	middle := store.Add("two")
	store.Add("three")
	if !store.Delete(middle.ID) || store.Delete(middle.ID) {
		t.Error("want the first delete to find the note, and only that one")
	}
	if got := texts(store); len(got) != 2 || got[0] != "three" || got[1] != "one" {
		t.Errorf("got %q", got)
	}
}

func TestManyGoroutinesMayUseAStore(t *testing.T) {
	store := notes.NewStore(100)
	var workers sync.WaitGroup
	for i := range 20 {
		workers.Go(func() {
			for j := range 10 {
				note := store.Add(strconv.Itoa(i*10 + j))
				store.All()
				store.Get(note.ID)
				if j%2 == 0 {
					store.Delete(note.ID)
				}
			}
		})
	}
	workers.Wait()
	seen := map[string]bool{}
	for _, note := range store.All() {
		seen[note.ID] = true
	}
	if n := len(seen); n != len(store.All()) || n == 0 || n > 100 {
		t.Errorf("%d different ids in %d notes", n, len(store.All()))
	}
}
