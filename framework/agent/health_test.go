// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/node"
)

func TestHealthVerb(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "health: {checks: [{tcp: '127.0.0.1:1', name: api}]}\n")
	var answer error
	n := node.Node{Probe: func(context.Context, config.Check) error { return answer }}
	if got := callOn(t, n, dir, "", "health"); got.code != 0 || !strings.HasPrefix(got.stdout, "passed  unit boot-complete.target") {
		t.Errorf("got %+v", got)
	}
	answer = errors.New("exit status 1\nlast words")
	if got := callOn(t, n, dir, "", "health"); got.code != 1 || !strings.Contains(got.stdout, "FAILED  api") || !strings.Contains(got.stdout, "\n          last words\n") {
		t.Errorf("got %+v", got)
	}
	if got := callOn(t, n, dir, "", "health", "--json"); got.code != 1 || !strings.HasPrefix(got.stdout, "{\n  \"version\": 1,") {
		t.Errorf("got %+v", got)
	}
}
