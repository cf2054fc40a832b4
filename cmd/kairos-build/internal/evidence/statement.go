// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	statementType  = "https://in-toto.io/Statement/v1"
	statementMedia = "application/vnd.in-toto+json"
)

// A statement is an in-toto statement of version 1. We have structures of our own: those
// of in-toto's module are protocol buffers, whose JSON differs between two builds of the
// same program. Tests read ours with in-toto's.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     any        `json:"predicate"`
}

// A Resource names something by its digest: in-toto's ResourceDescriptor.
type Resource struct {
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
	Digest           map[string]string `json:"digest,omitempty"` // by algorithm: sha256
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	Annotations      map[string]any    `json:"annotations,omitempty"`
}

// Named is a resource with a digest of the form sha256:<hex>.
func Named(name, digest string) Resource {
	return Resource{Name: name, Digest: digestSet(digest)}
}

func digestSet(digest string) map[string]string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok {
		return nil
	}
	return map[string]string{algorithm: hex}
}

func subject(name, image string) []Resource { return []Resource{Named(name, image)} }

func (s statement) encode() ([]byte, error) { return printJSON(s) }

// errNotStatement is the error about a file that is no in-toto statement.
var errNotStatement = errors.New("it is no in-toto statement of version 1")

// parseStatement reads a statement of one type about one image. Keys that it does not know
// are left out, as in-toto asks.
func parseStatement[T any](data []byte, predicateType string) (image string, predicate T, err error) {
	var s struct {
		statement
		Predicate json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return "", predicate, fmt.Errorf("%w: %w", errNotStatement, err)
	}
	if s.Type != statementType || len(s.Subject) == 0 || s.Subject[0].Digest["sha256"] == "" {
		return "", predicate, errNotStatement
	}
	if s.PredicateType != predicateType {
		return "", predicate, fmt.Errorf("it is a statement of the type %q, not %q", s.PredicateType, predicateType)
	}
	err = json.Unmarshal(s.Predicate, &predicate)
	return "sha256:" + s.Subject[0].Digest["sha256"], predicate, err
}
