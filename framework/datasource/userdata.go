// SPDX-License-Identifier: Apache-2.0

package datasource

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

	"github.com/kairos-build/kairos-build/framework/config"
)

// UserData is user data taken apart.
type UserData struct {
	Configs []Part // cloud-configs, all of them correct
	Scripts []Part // programs that begin with #!
	// Problems are those of every config; with an Error nothing is to be used.
	Problems config.Problems
}

// A Part is one of several, or all of the user data.
type Part struct {
	Name string // as problems call it
	Data []byte
}

// maxDepth of messages inside messages, and of packing.
const maxDepth = 5

// kinds are first lines of user data of cloud-init and others that are known
// and not implemented.
var kinds = []struct{ prefix, what string }{
	{"#include", "#include (a list of URLs)"},
	{"#cloud-config-archive", "#cloud-config-archive"},
	{"#cloud-config-jsonp", "#cloud-config-jsonp"},
	{"#cloud-boothook", "#cloud-boothook"},
	{"#part-handler", "#part-handler"},
	{"#upstart-job", "#upstart-job"},
	{"## template:", "a template of Jinja"},
	{"{", "JSON, such as Ignition"},
	{"<", "XML or HTML"},
}

// Parse takes user data apart: cloud-configs and scripts, alone or as parts of
// a MIME message, packed by gzip or not, and with encoded also as base64. name
// is how it is called in problems. An error says what it is instead.
func Parse(name string, data []byte, encoded bool) (*UserData, error) {
	u := new(UserData)
	if encoded {
		data = maybeBase64(data)
	}
	if err := u.add(name, "", data, 0); err != nil {
		return nil, err
	}
	for _, p := range u.Configs {
		_, problems := config.Decode(p.Name, p.Data)
		u.Problems = append(u.Problems, problems...)
	}
	return u, nil
}

// maybeBase64 decodes data when it is base64 of something that we know.
func maybeBase64(data []byte) []byte {
	plain, err := unbase64(string(data))
	if err != nil || len(plain) == 0 {
		return data
	}
	if isGzip(plain) || plain[0] == '#' || isMIME(plain) {
		return plain
	}
	return data
}

var errNotBase64 = errors.New("it is not base64")

// unbase64 decodes base64 with line breaks in it.
func unbase64(text string) ([]byte, error) {
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
	part := Part{name, data}
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

// sniffed are types whose content says what it is, as in cloud-init.
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
			title = fmt.Sprintf("%s[%d,%s]", name, i, config.Printable(file))
		}
		if err := u.entity(title, part.Header, part, depth); err != nil {
			return err
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
		return unbase64(string(data))
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(data)))
	}
	return nil, fmt.Errorf("the encoding %q is unknown", encoding)
}
