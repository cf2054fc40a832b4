// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// memberFile has the Member that was applied. What runs before the service, also at an
// automatic restart in the night, reads it: the config may be another one by then.
const memberFile = runDir + "/member.json"

// memberDocument is the content of memberFile.
type memberDocument struct {
	Member
	Version string `json:"version"`
}

// member adds memberFile.
func (p *Plan) member(m Member) {
	data, err := json.Marshal(memberDocument{m, m.Version.String()})
	if err != nil {
		panic("BUG: encoding a member: " + err.Error())
	}
	p.secret(memberFile, append(data, '\n'), false)
}

// Applied returns the Member that was applied last in this boot.
func Applied(root tree.Root) (Member, error) {
	var d memberDocument
	data, err := root.Read(memberFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Member{}, fmt.Errorf("no role was started in this boot: type `systemctl restart kairos-kubernetes`: %w", err)
	}
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err == nil {
		d.Member.Version, err = release.Parse(d.Version)
	}
	if err != nil {
		return Member{}, fmt.Errorf("%s: %w", memberFile, err)
	}
	return d.Member, nil
}

// belowFile has what a role has below its data directory, for Files.
const belowFile = runDir + "/below.json"

// below is the content of belowFile.
type below struct {
	Role    string      `json:"role"`
	Release string      `json:"release"`
	Data    string      `json:"data"`
	Files   []belowData `json:"files"`
	Links   []Link      `json:"links"`
}

// belowData is a File.
type belowData struct {
	Path string      `json:"path"`
	Data []byte      `json:"data"`
	Mode fs.FileMode `json:"mode"`
}

// isBelow tells whether a path is below the data directory.
func (p Plan) isBelow(name string) bool { return p.data != "" && strings.HasPrefix(name, p.data+"/") }

// handOver leaves for Files what belongs below the data directory.
func (w *work) handOver() error {
	if w.Root.Dry != nil {
		return nil
	}
	if w.plan.Unit == "" {
		_, err := w.Root.Remove(belowFile)
		return err
	}
	b := below{Role: w.plan.Role, Release: w.plan.release, Data: w.plan.data, Links: w.plan.Links}
	for _, f := range w.plan.Files {
		if w.plan.isBelow(f.Path) {
			b.Files = append(b.Files, belowData{f.Path, f.Data, f.Mode})
		}
	}
	data, err := json.Marshal(b)
	if err == nil {
		_, err = w.Root.Replace(belowFile, tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	return err
}

// handedOver is the plan that handOver left, as far as Files needs it.
func (m *Machine) handedOver() (p Plan, err error) {
	var b below
	data, err := m.Root.Read(belowFile)
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return p, fmt.Errorf("what belongs below the data directory is not known: %w; type `systemctl restart kairos-kubernetes`", err)
	}
	p = Plan{Role: b.Role, release: b.Release, data: b.Data, Links: b.Links}
	for _, f := range b.Files {
		p.Files = append(p.Files, File{Path: f.Path, Data: f.Data, Mode: f.Mode})
	}
	return p, nil
}

// Files writes what a role has below its data directory: manifests, static pods and links
// to archives of images. It also removes what another release of k3s has unpacked there. It
// runs before every start of the service, behind the mounts that the service needs: a disk
// that comes late must not cover what was written before. An error keeps the service from
// starting. A link, or something unpacked, that makes a problem does not.
func (m *Machine) Files() ([]report.Item, error) {
	p, err := m.handedOver()
	if err != nil {
		return nil, err
	}
	w := &work{Machine: m, plan: p}
	w.below()
	for _, i := range w.items {
		if i.Outcome == report.Failed && i.Kind != "link" {
			return w.items, errors.New(i.String())
		}
	}
	w.unpackAgain()
	return w.items, nil
}
