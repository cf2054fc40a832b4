// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Scratch is Write to a file in the folder dir that has no name. It is gone when it is
// closed. Other formats are made from it.
func Scratch(ctx context.Context, dir string, s Spec) (*os.File, Result, error) {
	p, err := newPlan(s)
	if err != nil {
		return nil, Result{}, fmt.Errorf("planning a disk: %w", err)
	}
	f, err := nameless(dir)
	if err != nil {
		return nil, Result{}, explain(dir+"/", p, err)
	}
	extents, whole, err := p.fillFile(ctx, f)
	if err != nil {
		return nil, Result{}, errors.Join(explain(f.Name(), p, err), f.Close())
	}
	return f, Result{Size: p.size, Data: p.data(), Extents: extents, SHA256: whole, Table: p.table}, nil
}

func (p *plan) fillFile(ctx context.Context, f *os.File) ([]Extent, string, error) {
	if err := f.Truncate(p.size); err != nil {
		return nil, "", err
	}
	return p.run(ctx, f)
}

// nameless makes a file without a name; where the file system cannot do that, one whose
// name is gone at once.
func nameless(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return f, err
	}
	f, err = os.CreateTemp(dir, ".kairos-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Need is about how many bytes of data a disk will have.
func Need(s Spec) int64 { return (&plan{Spec: s}).estimate() }
