// SPDX-License-Identifier: Apache-2.0

package nearest

import "testing"

func TestWord(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"paswd", "passwd"},
		{"debain-13", "debian-13"},
		{"debian-31", "debian-13"}, // a swap is one edit; debian-12 is farther away
		{"ssh-authorized-keys", "ssh_authorized_keys"},
		{"Passwd", "passwd"},
		{"kernel", ""},
		{"", ""},
	} {
		if got := Word(tt.word, []string{"debian-12", "debian-13", "passwd", "ssh_authorized_keys"}); got != tt.want {
			t.Errorf("Word(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestMeaning(t *testing.T) {
	candidates := []string{"name", "uid", "primary_group", "groups", "ssh_authorized_keys", "passwd", "homedir", "permissions", "content", "path"}
	for _, tt := range []struct{ word, want string }{
		{"userid", "uid"}, {"user-id", "uid"}, {"gid", "uid"}, {"group-id", "primary_group"}, {"authorized_keys", "ssh_authorized_keys"},
		{"username", "name"}, {"home", "homedir"}, {"mode", "permissions"}, {"contents", "content"}, {"dest", "path"},
		{"checksum", ""}, {"uidx", "uid"},
	} {
		if got := Word(tt.word, candidates); got != tt.want {
			t.Errorf("Word(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func FuzzWord(f *testing.F) {
	f.Add("abc", "abd")
	f.Fuzz(func(t *testing.T, word, candidate string) {
		if got := Word(word, []string{candidate}); got != "" && got != candidate {
			t.Errorf("Word(%q) = %q, which is no candidate", word, got)
		}
		if len(word) > 2 && len(word) <= longest && Word(word, []string{word}) != word {
			t.Errorf("%q is not near itself", word)
		}
	})
}
