// SPDX-License-Identifier: Apache-2.0

package changelog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// maxText is the largest changelog, in bytes, that is read of a package.
const maxText = 16 << 20

// An Entry is what a package's changelog says about one of its versions.
type Entry struct {
	Version string `json:"version"`
	Text    string `json:"text"`
}

// header is the first line of an entry, see deb-changelog(5): the source package, its
// version, the suites and the urgency.
var header = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]* \(([^()\s]+)\)[^;]*;`)

// cveName is a number of the CVE list.
var cveName = regexp.MustCompile(`CVE-\d{4}-\d{4,}`)

// entries reads those entries of a compressed changelog, newest first, that are newer than a
// version, and not newer than another.
func entries(data []byte, old, now string, compare func(a, b string) int) (list []Entry, err error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(unpacked, maxText))
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w", err)
	}
	return between(string(text), old, now, compare), nil
}

// between is entries of a text.
func between(text, old, now string, compare func(a, b string) int) (list []Entry) {
	wanted := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch m := header.FindStringSubmatch(line); {
		case m != nil:
			if wanted = compare(m[1], old) > 0 && compare(m[1], now) <= 0; wanted {
				list = append(list, Entry{Version: m[1]})
			}
		case wanted && !strings.HasPrefix(line, " -- "):
			list[len(list)-1].Text += line + "\n"
		}
	}
	for i := range list {
		list[i].Text = strings.Trim(list[i].Text, "\n")
	}
	return list
}

// cvesOf are the numbers in the texts of entries, each once, sorted.
func cvesOf(list []Entry) []string {
	found := []string{}
	for _, e := range list {
		found = append(found, cveName.FindAllString(e.Text, -1)...)
	}
	slices.SortFunc(found, compareCVEs)
	return slices.Compact(found)
}

// compareCVEs orders by year, and then by number.
func compareCVEs(a, b string) int {
	if len(a) != len(b) && a[:8] == b[:8] {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
