// SPDX-License-Identifier: Apache-2.0

package releaseflow

import "fmt"

// Plan says what Run would do. It asks no registry and no archive: what a run before did is
// in the state of the images.
func (f *Flow) Plan() (*Result, error) {
	r := &Result{Format: Format, Plan: true, Images: []ImageResult{}}
	for _, image := range f.Images {
		key, err := f.Steps.Key(image)
		if err != nil {
			return nil, err
		}
		s, err := readState(image.Folder)
		if err != nil {
			return nil, err
		}
		if !s.has(key, f.Steps.Built(image)) {
			s = state{}
		}
		r.Images = append(r.Images, f.planned(image, s))
	}
	return r, nil
}

// planned is the plan of one image.
func (f *Flow) planned(image Image, s state) ImageResult {
	r := ImageResult{Image: image, Digest: s.Digest, Steps: []Step{}, Channels: []Channel{}, Disks: []Disk{}}
	add := func(step string, kept bool, note string) {
		if !f.wants(step) {
			return
		}
		state := Needed
		if kept {
			state = Kept
		}
		r.Steps = append(r.Steps, Step{step, state, note})
	}
	add(Build, s.Digest != "", s.Digest)
	add(Test, s.Tested.counts(s.Digest, f.Scope), f.Scope)
	if s.Tested.counts(s.Digest, f.Scope) {
		r.Test = s.Tested
	}
	add(Sign, s.Signed != nil && s.Signed.Digest == s.Digest, "")
	pushed := s.Pushed != nil && s.Pushed.Digest == s.Digest
	if add(Push, pushed, image.Repository); pushed {
		r.Reference = s.Pushed.Reference
	}
	for _, name := range f.Channels {
		add(Promote, s.promoted(name), fmt.Sprintf("channel %s", name))
	}
	return r
}

// Needs are the images that must be built.
func (r *Result) Needs() (list []Image) {
	for _, i := range r.Images {
		if i.Steps[0].State == Needed {
			list = append(list, i.Image)
		}
	}
	return list
}
