// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// ErrPower says that an entry would give more rights than an image may give.
var ErrPower = errors.New("an image may not have this")

// capability is the extended attribute with the capabilities of a program.
const capability = "security.capability"

// overlayXattr begins the attributes by which overlayfs hides and redirects files. The node
// mounts overlays over folders of the root image, and would follow them.
const overlayXattr = "trusted.overlay."

const setID = 0o6000 // S_ISUID and S_ISGID

// checkPower refuses entries that no image needs, and in a layer that kairos-build did not
// make also those that give the rights of another user.
func checkPower(e erofs.Entry, foreign bool) error {
	device := isDevice(e.Mode)
	if device && !strings.HasPrefix(e.Path, "dev/") {
		return fmt.Errorf("%w: a device outside of /dev", ErrPower)
	}
	for name := range e.Xattrs {
		if strings.HasPrefix(name, overlayXattr) {
			return fmt.Errorf("%w: the extended attribute %.100q, which overlayfs acts on", ErrPower, name)
		}
	}
	if !foreign {
		return nil
	}
	what := ""
	switch _, capable := e.Xattrs[capability]; {
	case device:
		what = "a device"
	case capable:
		what = "file capabilities"
	case e.Mode&setID != 0 && e.Mode&erofs.ModeType == erofs.ModeRegular:
		what = "set-uid or set-gid"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s, in a layer that was added after kairos-build made the image; build the image with it, or give --force", ErrPower, what)
}

func isDevice(mode uint32) bool {
	return mode&erofs.ModeType == erofs.ModeChar || mode&erofs.ModeType == erofs.ModeBlock
}
