// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"
	"time"
)

// FuzzPassed reads test results as somebody signed them. Only one that says that the tests
// passed, and with a date if an age is required, meets a requirement.
func FuzzPassed(f *testing.F) {
	f.Add([]byte(`{"result":"PASSED","configuration":[{"annotations":{"date":"2026-11-01"}}]}`), int64(30))
	f.Add([]byte(`{"result":"FAILED"}`), int64(0))
	f.Add([]byte(`{"result":"WARNED","configuration":[{"annotations":{"date":"2036-11-01"}}]}`), int64(1))
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	c := &hearing{Judge: Judge{Now: func() time.Time { return now }, Built: now.Add(-100 * day)}}
	f.Fuzz(func(t *testing.T, predicate []byte, age int64) {
		limit := time.Duration(age%1000) * day
		err := c.passed(Requirement{Name: "tested", Type: TypeTested, MaxAge: limit}, predicate)
		if err == nil && limit < 0 {
			t.Errorf("%s is not older than %v", predicate, limit)
		}
	})
}
