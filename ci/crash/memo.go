// SPDX-License-Identifier: Apache-2.0

package crash

import "sync"

// A memo remembers the answers of a slow function. Concurrent callers with the same key
// wait for one call.
type memo[K comparable, V any] struct {
	mu      sync.Mutex
	answers map[K]func() V
}

func (m *memo[K, V]) get(key K, slow func() V) V {
	m.mu.Lock()
	answer, ok := m.answers[key]
	if !ok {
		if m.answers == nil {
			m.answers = map[K]func() V{}
		}
		answer = sync.OnceValue(slow)
		m.answers[key] = answer
	}
	m.mu.Unlock()
	return answer()
}

// size counts the keys.
func (m *memo[K, V]) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.answers)
}

// A result is an answer, or the error in its place.
type result[V any] struct {
	value V
	err   error
}

func resultOf[V any](value V, err error) result[V] { return result[V]{value, err} }
