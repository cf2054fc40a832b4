// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"testing"

	"github.com/kairos-build/kairos-build/framework/upgrade"
)

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if err := errors.New("disk"); !errors.Is(interrupted(ctx, err), err) {
		t.Error("an error without an interruption was changed")
	}
	cancel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&upgrade.IncompleteError{Slot: "b", Good: "a", Err: ctx.Err()}, "interrupted: slot b is not complete; slot a stays good; run the upgrade again"},
		{ctx.Err(), "interrupted; nothing was written"},
	} {
		if got := interrupted(ctx, tt.err).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
