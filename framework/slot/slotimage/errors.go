// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"errors"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// Errors that Write returns about an image, besides read and write errors. Each is wrapped
// with the path, and with the layer where there is one.
var (
	// ErrNoKernel, ErrNoInitrd and ErrNoRelease say that a slot cannot boot the
	// image.
	ErrNoKernel  = errors.New("the image has no kernel")
	ErrNoInitrd  = errors.New("the image has no initrd")
	ErrNoRelease = errors.New("the image has no release file")
	// ErrTooLarge says that a file that must be held in memory exceeds its limit, or
	// the limit of all.
	ErrTooLarge = errors.New("the file is too large")
	// ErrBadEntry says that an entry of a layer is invalid or contradicts other
	// layers.
	ErrBadEntry = layers.ErrBadEntry
	// ErrBadRelease and ErrBadCmdline are about the contents of files.
	ErrBadRelease = osrelease.ErrSyntax
	ErrBadCmdline = errors.New("bad kernel arguments")
)
