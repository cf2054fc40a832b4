// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestLastPart(t *testing.T) {
	for ref, want := range map[string]string{
		"registry.example.org:5000/edge/app:v3": "app", "app": "app", "./images/app/": "app", "app.tar": "app", ".": "image", "a/b@sha256:00": "b",
	} {
		if got := lastPart(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}
