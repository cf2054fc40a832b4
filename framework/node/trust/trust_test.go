// SPDX-License-Identifier: Apache-2.0

package trust

import "testing"

func TestFloor(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ version, want string }{
		{"v1.0.0", "v1.0.0"}, {"v1.2.0", "v1.2.0"}, {"v1.1.0", "v1.2.0"}, {"spring", "v1.2.0"}, {"v1.10.0", "v1.10.0"},
	} {
		if err := Update(dir, func(r *Record) bool { return r.Raise(map[string]string{keyVersion: tt.version}) }); err != nil {
			t.Fatal(err)
		}
		if r, err := Read(dir); err != nil || r.Floor[keyVersion] != tt.want {
			t.Errorf("after %s: the floor is %v (%v), want %s", tt.version, r.Floor, err, tt.want)
		}
	}
}
