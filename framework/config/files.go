// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// maxContent is the largest content after decompression, in bytes.
const maxContent = 64 << 20

var label = lazyregexp.New(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func decodeHostname(v value, c *Config) {
	s, ok := v.NonEmpty()
	if !ok {
		return
	}
	if template.Is(s) {
		if v.parses(s, template.Check) {
			c.Hostname = s
		}
		return
	}
	if message, suggestion := hostnameProblem(s); message != "" {
		v.Fail(message, suggestion)
		return
	}
	c.Hostname = s
}

// CheckHostname says what is wrong with a host name.
func CheckHostname(s string) error {
	if message, suggestion := hostnameProblem(s); message != "" {
		return errors.New(message + "; " + suggestion)
	}
	return nil
}

func hostnameProblem(s string) (message, suggestion string) {
	if len(s) > 64 {
		return fmt.Sprintf("%d characters are too many for a host name", len(s)), "Linux allows 64"
	}
	for part := range strings.SplitSeq(s, ".") {
		if !label.MatchString(part) {
			return fmt.Sprintf("%q is not a host name (RFC 1123)", strict.Printable(s)), "use letters, digits and -, with dots between, at most 63 characters each"
		}
	}
	return "", ""
}

// template reports a Go template, which Kairos fills in, as not implemented.
func (v value) template(s string) bool {
	if !strings.Contains(s, "{{") {
		return false
	}
	v.Later("templates ({{ … }})")
	return true
}

func decodeWriteFiles(v value, c *Config) {
	for _, item := range v.list("files") {
		f := WriteFile{Origin: item.Position(), Mode: 0o644, Owner: "root", Group: "root"}
		pairs := decodeMap(item, writeFileFields, &f)
		if item.Node.Kind == yaml.MappingNode {
			item.fileDone(&f, pairs)
			item.writable(f.Path)
			item.guardSecret(&f.Mode, f.Path, string(f.Content), pairs)
		}
		if usable(f, pairs) {
			c.WriteFiles = append(c.WriteFiles, f)
		}
	}
}

// usable is false without a path, and when a key that is not implemented would
// change the file.
func usable(f WriteFile, pairs []pair) bool {
	return f.Path != "" && !slices.ContainsFunc(pairs, func(p pair) bool { return p.name == "source" })
}

// fileDone reads content by encoding and checks that there is a path.
func (v value) fileDone(f *WriteFile, pairs []pair) {
	byName := map[string]value{}
	for _, p := range pairs {
		byName[p.name] = p.value
	}
	v.lacks(pairs, "path", "the file has no path", "add \"path:\"")
	steps, ok := encodingOf(byName)
	if content, given := byName["content"]; ok && given {
		content.content(f, steps)
	}
}

// encodings are those of cloud-init's write_files, as steps in order.
var encodings = map[string][]string{
	"": nil, "text/plain": nil,
	"b64": {"b64"}, "base64": {"b64"},
	"gz": {"gz"}, "gzip": {"gz"},
	"gz+b64": {"b64", "gz"}, "gz+base64": {"b64", "gz"},
	"gzip+b64": {"b64", "gz"}, "gzip+base64": {"b64", "gz"},
}

func encodingOf(byName map[string]value) ([]string, bool) {
	v, ok := byName["encoding"]
	if !ok {
		return nil, true
	}
	name, ok := v.Text()
	if !ok {
		return nil, false
	}
	steps, ok := encodings[name]
	if !ok {
		v.Fail(fmt.Sprintf("unknown encoding %q", strict.Printable(name)), "use b64, gz, gz+b64 or text/plain")
	}
	return steps, ok
}

func (v value) content(f *WriteFile, steps []string) {
	data, ok := v.bytes()
	if !ok {
		return
	}
	for _, step := range steps {
		var err error
		if data, err = decodeStep(step, data); err != nil {
			v.Fail("content does not fit its encoding: "+err.Error(), "")
			return
		}
	}
	if bytes.Contains(data, []byte("{{ .")) || bytes.Contains(data, []byte("{{.")) {
		v.Report(NotImplemented, "known key, not implemented yet in this version: templates ({{ … }})", "the file is written as it is")
	}
	f.Content = data
}

// bytes is a text or a !!binary value.
func (v value) bytes() ([]byte, bool) {
	if v.Node.Kind != yaml.ScalarNode || v.Node.Tag != "!!binary" {
		s, ok := v.Text()
		return []byte(s), ok
	}
	data, err := decodeStep("b64", []byte(v.Node.Value))
	if err != nil {
		v.Fail("!!binary: "+err.Error(), "")
	}
	return data, err == nil
}

func decodeStep(step string, data []byte) ([]byte, error) {
	if step == "b64" {
		clean := strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n", r) {
				return -1
			}
			return r
		}, string(data))
		out, err := base64.StdEncoding.DecodeString(clean)
		if err != nil {
			return nil, fmt.Errorf("base64: %w", err)
		}
		return out, nil
	}
	return gunzip(data)
}

func gunzip(data []byte) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(in, maxContent+1))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if len(out) > maxContent {
		return nil, fmt.Errorf("gzip: unfolds to more than %d MiB", maxContent>>20)
	}
	return out, nil
}

// absolute is an absolute path without "..", ":" and the like. A trailing slash is
// accepted and removed.
func (v value) absolute() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok || v.template(s) {
		return "", false
	}
	switch {
	case !strings.HasPrefix(s, "/"):
		v.Fail(fmt.Sprintf("%q is not an absolute path", strict.Printable(s)), "begin with /")
	case strings.ContainsAny(s, "\x00\n\r:"):
		v.Fail(fmt.Sprintf("%q holds a character that we do not take in a path", strict.Printable(s)), "")
	case path.Clean(s) != s && path.Clean(s)+"/" != s:
		v.Fail(fmt.Sprintf("%q is not a clean path", strict.Printable(s)), fmt.Sprintf("write %q", strict.Printable(path.Clean(s))))
	default:
		return path.Clean(s), true
	}
	return "", false
}

var octal = lazyregexp.New(`^0?[0-7]{3,4}$`)

// decodePermissions takes octal digits, in quotes or as a YAML integer that is
// written in octal.
func decodePermissions(v value, f *WriteFile) {
	text := strings.Replace(v.Node.Value, "0o", "0", 1)
	isInt := v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!int"
	if !isInt {
		s, ok := v.NonEmpty()
		if !ok {
			return
		}
		text = s
	}
	if !octal.MatchString(text) || isInt && text[0] != '0' {
		v.Fail(fmt.Sprintf("%q is not an octal mode", strict.Printable(v.Node.Value)), `write four octal digits in quotes, such as "0644"`)
		return
	}
	mode, err := strconv.ParseUint(text, 8, 16)
	if err != nil || mode > 0o7777 {
		v.Fail(fmt.Sprintf("%q is not an octal mode", strict.Printable(v.Node.Value)), `write four octal digits in quotes, such as "0644"`)
		return
	}
	f.Mode = uint32(mode)
}

var ownerName = lazyregexp.New(`^([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10})$`)

// decodeOwner takes user, user:group or :group, as names or numbers. Without a
// group, the node uses the primary group of the user.
func decodeOwner(v value, f *WriteFile) {
	s, ok := v.NonEmpty()
	if !ok {
		return
	}
	owner, group, both := strings.Cut(s, ":")
	if !both {
		group = ""
	}
	if owner == "" && both {
		owner = "root"
	}
	if !ownerName.MatchString(owner) || both && !ownerName.MatchString(group) {
		v.Fail(fmt.Sprintf("%q is not an owner", strict.Printable(s)), `write "user:group"`)
		return
	}
	f.Owner, f.Group = owner, group
}
