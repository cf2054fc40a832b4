// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"encoding/json"
	"fmt"
)

// A Found is a document at the place where it was found, with what is known about its
// signer.
type Found struct {
	Document
	From    string // where it is
	Signed  bool   // a statement with it is signed
	Signer  string // who signed it, checked; empty: nobody checked it, or see Problem
	Problem string // why the signer is not known, or the document cannot be read
}

// A Signature is a signature of the image itself.
type Signature struct {
	From    string `json:"from"`
	Signer  string `json:"signer,omitempty"`  // checked
	Problem string `json:"problem,omitempty"` // why the signer is not known
}

// InFolder are documents as Read returns them: nothing signs them.
func InFolder(documents []Document) []Found {
	found := make([]Found, 0, len(documents))
	for _, d := range documents {
		found = append(found, Found{Document: d, From: d.Name})
	}
	return found
}

// Body is the document as the predicate of a statement.
func (d Document) Body() (json.RawMessage, error) {
	if d.MediaType != statementMedia {
		return d.Data, nil
	}
	_, body, err := parseStatement[json.RawMessage](d.Data, d.Predicate)
	return body, d.explain(err)
}

// Stated is the document that a statement about an image has: the reverse of Body. The
// result is false if the predicate is of another type.
func Stated(image, predicateType string, predicate json.RawMessage) (Document, bool, error) {
	d, ours := OfType(predicateType, predicate)
	if !ours || d.MediaType != statementMedia {
		return d, ours, nil
	}
	data, err := statement{Type: statementType, Subject: subject("", image), PredicateType: predicateType, Predicate: predicate}.encode()
	d.Data = data
	return d, true, err
}

// OfArtifact is the document that an artifact in a registry has. A statement tells what it
// is itself.
func OfArtifact(artifactType string, data []byte) (Document, bool) {
	if artifactType != statementMedia {
		return OfType(artifactType, data)
	}
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return Document{}, false
	}
	return OfType(s.PredicateType, data)
}

// Check checks that the document can be read, and is about the image.
func (d Document) Check(image string) error {
	about, err := d.About()
	if err == nil && about != image {
		err = fmt.Errorf("%s is about the image %s, not %s", d.Name, about, image)
	}
	return err
}
