// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"errors"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// What Write reports about an image besides read and write errors. All are
// wrapped with the path, and with the layer where there is one.
var (
	// ErrNoKernel, ErrNoInitrd and ErrNoRelease say that the image is not one
	// that a slot can boot.
	ErrNoKernel  = errors.New("the image has no kernel")
	ErrNoInitrd  = errors.New("the image has no initrd")
	ErrNoRelease = errors.New("the image has no release file")
	// ErrTooLarge says that a file that has to be held in memory is not of the
	// size that it should have.
	ErrTooLarge = errors.New("the file is too large")
	// ErrBadEntry says that a layer has an entry that is not valid, or that
	// does not fit what the other layers have.
	ErrBadEntry = layers.ErrBadEntry
	// ErrBadRelease and ErrBadCmdline are about the contents of files.
	ErrBadRelease = osrelease.ErrSyntax
	ErrBadCmdline = errors.New("bad kernel arguments")
)
