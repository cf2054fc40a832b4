// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// k3s unpacks its programs into DATA/data/HASH, and has links to the last release that it
// unpacked: data/current and data/cni. It does not set them back when an older release
// starts again, and never removes a folder. So when the release is another one than at the
// last start, DATA/data goes, and k3s unpacks again:
//
//	data          rename   -> data.old     k3s would unpack; a later start ends this first
//	data.old      delete   -> gone
//	gone          record   -> unpackedFile
const unpackedFile = "/kairos/unpacked" // below the data directory

// unpackAgain removes what another release of k3s has unpacked. It runs before the start of
// k3s.
func (w *work) unpackAgain() {
	if w.plan.Role != config.K3s && w.plan.Role != config.K3sAgent {
		return
	}
	name := w.plan.data + unpackedFile
	have, _ := w.Root.Read(name)
	same := strings.TrimSpace(string(have)) == w.plan.release
	if same && !w.Root.Exists(w.plan.data+"/data.old") {
		return
	}
	removed, err := w.removeUnpacked(!same)
	if err == nil && !same {
		w.privateDir(w.plan.data + "/kairos")
		_, err = w.Root.Replace(name, tree.File{Data: []byte(w.plan.release + "\n"), Mode: 0o600})
	}
	w.item("directory", w.plan.data+"/data", removed, err)
}

// removeUnpacked removes data.old, with also that which data is now.
func (w *work) removeUnpacked(also bool) (removed bool, err error) {
	d, err := w.Root.Open(w.plan.data)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Close()
	if err := d.RemoveAll("data.old"); err != nil || !also {
		return err == nil, err
	}
	err = d.Rename("data", "data.old")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = d.Sync()
	}
	if err == nil {
		err = d.RemoveAll("data.old")
	}
	return err == nil, err
}
