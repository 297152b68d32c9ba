package keymap

import (
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// idle is a policy that may be forgotten at any time.
type idle struct{ retry.PolicyFunc }

func (idle) Idle() bool { return true }

// A key may move just when it has been found.
func TestAKeyMovesThatWasFound(t *testing.T) {
	for name, at := range map[string]int{"to leave the first call": 1, "to enter the second": 2,
		"to leave the second": 3} {
		t.Run(name, func(t *testing.T) {
			create := func(int) retry.Policy { return idle{retry.Chain().Do} }
			m := New(create, 1<<20, nil).(*store[int, int])
			call := func(key int) {
				if err := m.Run(t.Context(), key, retry.Next{}); err != nil {
					t.Error(err)
				}
			}
			found, same := 0, m.same
			m.same = func(kept *int, key int) bool {
				if !same(kept, key) {
					return false
				}
				if found++; found == at {
					for i := range 3000 {
						call(i + 1)
					}
				}
				return true
			}
			for range 2 {
				call(0)
			}
			if m.Len() != 3001 || !m.Idle() {
				t.Errorf("%d keys, idle %v", m.Len(), m.Idle())
			}
		})
	}
}
