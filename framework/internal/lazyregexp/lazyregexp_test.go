// SPDX-License-Identifier: Apache-2.0

package lazyregexp

import "testing"

func TestRegexp(t *testing.T) {
	re := New(`^(a+)b$`)
	if re.String() != `^(a+)b$` || !re.MatchString("aab") || re.MatchString("b") || re.ReplaceAllString("aab", "$1") != "aa" {
		t.Error("not as regexp has it")
	}
	if got := re.FindStringSubmatch("aab"); len(got) != 2 || got[1] != "aa" {
		t.Errorf("got %q", got)
	}
}

// TestMistake: in a test, New panics at an expression with a mistake.
func TestMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(`(`)
}
