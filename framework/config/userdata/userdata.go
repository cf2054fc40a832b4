// SPDX-License-Identifier: Apache-2.0

// Package userdata splits the user data of a node: a cloud-config, a script, or a MIME
// message of several, with or without gzip. Datasources, `kairos-build --cloud-config`
// and validate share it. It changes nothing.
package userdata

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// MaxSize is the largest user data, in bytes, packed and unpacked.
const MaxSize = 16 << 20

// UserData has the parts of user data.
type UserData struct {
	Configs []Part // cloud-configs, also those with mistakes
	Scripts []Part // programs that begin with #!
	// Left are the parts that are not used. A problem of each says why.
	Left []config.File
	name string
}

// A Part is one of several, or all of the user data.
type Part struct {
	Name string // as problems call it
	Data []byte
	File config.File // of a config
}

// Problems are the problems of every part.
func (u *UserData) Problems() config.Problems {
	var out config.Problems
	for _, f := range u.Files() {
		out = append(out, f.Problems...)
	}
	return out
}

// Files are the configs as validate shows them, then the parts that are left out.
func (u *UserData) Files() []config.File {
	var out []config.File
	for _, p := range u.Configs {
		out = append(out, p.File)
	}
	return append(out, u.Left...)
}

// Usable tells whether a node can use some part of it. User data without any part is
// usable too.
func (u *UserData) Usable() bool {
	return len(u.Scripts) > 0 || len(u.Configs)+len(u.Left) == 0 ||
		slices.ContainsFunc(u.Configs, func(p Part) bool { return p.File.Used() })
}

// Documents are the cloud-configs that a node reads: those that can be used, and
// one that runs the scripts.
func (u *UserData) Documents() ([]Part, error) {
	var out []Part
	for _, p := range u.Configs {
		if p.File.Used() {
			out = append(out, p)
		}
	}
	if len(u.Scripts) == 0 {
		return out, nil
	}
	data, err := scriptSteps(u.Scripts)
	if err != nil {
		return nil, err
	}
	name := u.name + "[scripts]"
	if len(u.Scripts) == 1 {
		name = u.Scripts[0].Name
	}
	file := config.Options{}.DecodeFile(name, data)
	file.Note = "a script, which a node runs in the stage boot, at every boot"
	return append(out, Part{name, data, file}), nil
}

// maxDepth limits messages inside messages, and repeated packing.
const maxDepth = 5

// kinds are the beginnings of user data of other kinds, of cloud-init for example,
// that are known and not implemented.
var kinds = []struct{ prefix, what string }{
	{"#include", "#include (a list of URLs)"},
	{"#cloud-config-archive", "#cloud-config-archive"},
	{"#cloud-config-jsonp", "#cloud-config-jsonp"},
	{"#cloud-boothook", "#cloud-boothook"},
	{"#part-handler", "#part-handler"},
	{"#upstart-job", "#upstart-job"},
	{"## template:", "a template of Jinja"},
	{"<", "XML or HTML"},
}

// Options say how user data is read.
type Options struct {
	Encoded bool           // it may be base64
	Configs config.Options // how the cloud-configs are read
}

// Parse splits user data. name is its name in problems. An error says what the data is
// instead.
func (o Options) Parse(name string, data []byte) (*UserData, error) {
	u := &UserData{name: name}
	if o.Encoded {
		data = maybeBase64(data)
	}
	if err := u.add(name, "", data, 0); err != nil {
		return nil, err
	}
	for i, p := range u.Configs {
		u.Configs[i].File = o.Configs.DecodeFile(p.Name, p.Data)
	}
	return u, nil
}

// Read is Parse for callers that need every part to be right: it also returns the
// parts that cannot be used, with their problems.
func (o Options) Read(name string, data []byte) ([]Part, error) {
	u, err := o.Parse(name, data)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(u.Configs)
	for _, f := range u.Left {
		out = append(out, Part{Name: f.Name, File: f})
	}
	if len(u.Scripts) > 0 {
		documents, err := u.Documents()
		if err != nil {
			return nil, err
		}
		out = append(out, documents[len(documents)-1])
	}
	if len(out) == 0 { // it is empty, which DecodeFile reports
		out = append(out, Part{Name: name, Data: data, File: o.Configs.DecodeFile(name, data)})
	}
	return out, nil
}

// Refused is a file that cannot be used, for the reason err.
func Refused(name string, err error) config.File {
	message := strings.TrimPrefix(strings.TrimPrefix(err.Error(), name), " ")
	return config.File{Name: name, Config: new(config.Config), Problems: config.Problems{{
		Position: config.Position{File: name, Line: 1, Column: 1}, Severity: config.Error, Message: message,
	}}}
}

// maybeBase64 decodes data when it is base64 of something that we know.
func maybeBase64(data []byte) []byte {
	plain, err := Unbase64(string(data))
	if err != nil || len(plain) == 0 {
		return data
	}
	if isGzip(plain) || plain[0] == '#' || isMIME(plain) {
		return plain
	}
	return data
}

var errNotBase64 = errors.New("it is not base64")

// Unbase64 decodes base64 with line breaks in it.
func Unbase64(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errNotBase64
	}
	return data, nil
}

func isGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

func isMIME(data []byte) bool {
	start := strings.ToLower(string(data[:min(len(data), 32)]))
	return strings.HasPrefix(start, "mime-version:") || strings.HasPrefix(start, "content-type:")
}

func (u *UserData) add(name, mimeType string, data []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s is packed more than %d times", name, maxDepth)
	}
	if isGzip(data) {
		plain, err := gunzip(data)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
		return u.add(name, mimeType, plain, depth+1)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if isMIME(data) {
		return u.message(name, data, depth)
	}
	return u.plain(name, mimeType, data)
}

func gunzip(data []byte) ([]byte, error) {
	in, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(in, MaxSize+1))
	if err == nil && len(out) > MaxSize {
		err = fmt.Errorf("it unfolds to more than %d MiB", MaxSize>>20)
	}
	return out, err
}

// plain is a config or a script.
func (u *UserData) plain(name, mimeType string, data []byte) error {
	text := string(data[:min(len(data), 64)])
	if strings.TrimSpace(text) == "" && len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	for _, k := range kinds {
		if strings.HasPrefix(text, k.prefix) {
			return fmt.Errorf("%s is of a kind that is not implemented: %s; use #cloud-config, or a script with #! in its first line", name, k.what)
		}
	}
	if strings.HasPrefix(text, "{") && bytes.Contains(data[:min(len(data), 1024)], []byte(`"ignition"`)) {
		return fmt.Errorf("%s is of a kind that is not implemented: JSON of Ignition; use #cloud-config", name)
	}
	part := Part{Name: name, Data: data}
	switch {
	case strings.HasPrefix(text, "#!"):
		u.Scripts = append(u.Scripts, part)
	case mimeType == scriptType:
		return fmt.Errorf("%s is to be a script and has no #! in its first line", name)
	default:
		u.Configs = append(u.Configs, part)
	}
	return nil
}

const (
	configType = "text/cloud-config"
	scriptType = "text/x-shellscript"
)

// sniffed are types for which the content tells the kind, as in cloud-init.
var sniffed = []string{"", "text/plain", "text/x-not-multipart", "application/octet-stream", "application/gzip", "application/x-gzip", "application/x-yaml", "text/yaml", configType, scriptType}

// message reads a MIME message (RFC 2045, RFC 2046).
func (u *UserData) message(name string, data []byte, depth int) error {
	in := textproto.NewReader(bufio.NewReader(bytes.NewReader(data)))
	header, err := in.ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is not a valid MIME message: %w", name, err)
	}
	return u.entity(name, header, in.R, depth)
}

// entity is a message or a part of one.
func (u *UserData) entity(name string, header textproto.MIMEHeader, body io.Reader, depth int) error {
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && header.Get("Content-Type") != "" {
		return fmt.Errorf("%s has a Content-Type that is not valid: %w", name, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		return u.parts(name, multipart.NewReader(body, parameters["boundary"]), depth+1)
	}
	if !slices.Contains(sniffed, kind) {
		return fmt.Errorf("%s has the type %q, which is not implemented; use %s or %s", name, kind, configType, scriptType)
	}
	data, err := decoded(header.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return u.add(name, kind, data, depth+1)
}

func (u *UserData) parts(name string, in *multipart.Reader, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s is packed more than %d times", name, maxDepth)
	}
	for i := 1; ; i++ {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading part %d of %s: %w", i, name, err)
		}
		title := fmt.Sprintf("%s[%d]", name, i)
		if file := part.FileName(); file != "" {
			title = fmt.Sprintf("%s[%d,%s]", name, i, strict.Printable(file))
		}
		err = u.entity(title, part.Header, part, depth)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return err // the message is cut off
		}
		if err != nil {
			u.Left = append(u.Left, Refused(title, err))
		}
	}
}

// decoded undoes a Content-Transfer-Encoding.
func decoded(encoding string, body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, 2*MaxSize))
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return data, nil
	case "base64":
		return Unbase64(string(data))
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(data)))
	}
	return nil, fmt.Errorf("the encoding %q is unknown", encoding)
}

const scriptDir = "/var/lib/kairos/userdata"

// scriptSteps is a cloud-config that stores scripts and runs each of them in
// the stage "boot", where its outcome is reported.
func scriptSteps(scripts []Part) ([]byte, error) {
	type file struct {
		Path        string `yaml:"path"`
		Permissions string `yaml:"permissions"`
		Encoding    string `yaml:"encoding"`
		Content     string `yaml:"content"`
	}
	type step struct {
		Name     string   `yaml:"name"`
		Files    []file   `yaml:"files"`
		Commands []string `yaml:"commands"`
	}
	var steps []step
	for i, s := range scripts {
		at := fmt.Sprintf("%s/script-%d", scriptDir, i+1)
		steps = append(steps, step{
			Name:     fmt.Sprintf("script %d of the user data", i+1),
			Files:    []file{{at, "0700", "b64", base64.StdEncoding.EncodeToString(s.Data)}},
			Commands: []string{at},
		})
	}
	data, err := yaml.Marshal(map[string]any{"stages": map[string]any{"boot": steps}})
	return append([]byte("#cloud-config\n# Made from the scripts of the datasource.\n"), data...), err
}
