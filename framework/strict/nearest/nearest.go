// SPDX-License-Identifier: Apache-2.0

// Package nearest finds the word that a person probably meant: the "did you
// mean" of every message.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// longest is the length, in bytes, of the longest word that is compared.
const longest = 64

// Word returns the candidate that word was probably meant to be, or "".
// The distance is Damerau-Levenshtein (a swap of neighbours counts once). Upper and
// lower case are equal, and so are dash and underscore. One edit for every three
// bytes is allowed, and at least one. Of equals, the first candidate wins. When none
// is near, Word returns one that means the same, such as uid for userid.
func Word(word string, candidates []string) string {
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if len(c)-len(word) >= least || len(word)-len(c) >= least {
			continue // the distance is at least the difference in length
		}
		if d := Distance(fold(word), fold(c)); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return sameMeaning(word, candidates)
	}
	return best
}

// DidYouMean is the question that suggests Word's candidate, or "".
func DidYouMean(word string, candidates []string) string {
	near := Word(word, candidates)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", near)
}

// meanings are words that people confuse, one row for each meaning. Word proposes
// candidates only, the first of a row first.
var meanings = [][]string{
	{"uid", "userid", "user_id", "id"},
	{"primary_group", "gid", "group_id", "groupid", "group", "groups"},
	{"ssh_authorized_keys", "authorized_keys", "ssh_keys", "sshkeys", "ssh_key", "pubkeys", "public_keys", "keys"},
	{"passwd", "password", "pass", "pwd", "password_hash", "hashed_password"},
	{"hashed_passwd", "hash"},
	{"name", "username", "user_name", "login", "title"},
	{"gecos", "comment", "fullname", "full_name", "description"},
	{"homedir", "home", "home_dir", "directory"},
	{"lock_passwd", "locked", "disabled"},
	{"groups", "additional_groups", "supplementary_groups"},
	{"permissions", "mode", "perms", "chmod"},
	{"content", "contents", "data", "text", "body"},
	{"path", "dest", "destination", "file", "filename", "device", "target"},
	{"url", "uri", "source", "src", "address"},
	{"source", "image", "uri", "ref"},
	{"sha256", "checksum", "sha256sum", "digest"},
	{"filesystem", "fstype", "fs", "type"},
	{"pLabel", "partlabel", "partition_label"},
	{"fsLabel", "label", "filesystem_label"},
	{"runcmd", "commands", "command", "cmd", "run", "script"},
	{"commands", "runcmd", "command", "cmd", "run", "exec"},
	{"write_files", "files"},
	{"files", "write_files"},
	{"timezone", "tz", "time_zone"},
	{"hostname", "host", "host_name", "node_name"},
	{"dns", "nameservers", "nameserver", "resolver"},
	{"ntp", "ntp_servers", "timeservers", "time_servers"},
	{"enable", "enabled", "activate"},
	{"enabled", "enable"},
	{"if", "when", "condition"},
	{"systemctl", "systemd", "services", "units"},
	{"environment", "env"},
	{"env", "environment"},
	{"sudo", "sudoers"},
	{"ca_certs", "certificates", "trusted_ca"},
}

// sameMeaning is the first candidate in a row with word, or "".
func sameMeaning(word string, candidates []string) string {
	word = fold(word)
	for _, row := range meanings {
		if !slices.Contains(row, word) {
			continue
		}
		for _, same := range row {
			if i := slices.IndexFunc(candidates, func(c string) bool { return fold(c) == fold(same) }); i >= 0 && fold(same) != word {
				return candidates[i]
			}
		}
	}
	return ""
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// Distance is the optimal string alignment distance of a and b, in bytes.
func Distance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
