// SPDX-License-Identifier: Apache-2.0

// Package releaseflow brings images from a flavor to the nodes, in an order in which nothing
// is released but what was tested:
//
//	build     image, disk and evidence, in the image's own folder
//	test      in QEMU; the result is about the digest of the image
//	sign      the image, its disks and its evidence
//	push      by digest, the tag last
//	promote   the channels, once all images of the release are pushed
//
// The state of each image is in its folder, by its digest: an interrupted or failed run goes
// on where it was, and one without a change does nothing. The package decides what must be
// done; others do it (see [Steps]).
package releaseflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Format is the version of Result and of the state as JSON. It changes when a field changes
// its meaning.
const Format = 1

// The steps, in their order.
const (
	Build   = "build"
	Test    = "test"
	Sign    = "sign"
	Push    = "push"
	Promote = "promote"
)

// Order are all steps.
func Order() []string { return []string{Build, Test, Sign, Push, Promote} }

// What is said of a step.
const (
	Done   = "done"   // in this run
	Kept   = "kept"   // in a run before
	Needed = "needed" // by a plan: it would be done
	Failed = "failed"
)

// An Image is one image of a release.
type Image struct {
	Name         string `json:"name"`
	Flavor       string `json:"flavor"`
	Architecture string `json:"architecture"`
	Model        string `json:"model"`
	Kubernetes   string `json:"kubernetes"`
	Folder       string `json:"folder"`
	Repository   string `json:"repository,omitempty"` // REGISTRY/NAME; empty if it is not pushed
}

// Steps do what a release consists of. Build is called for several images at the same time if
// Flow.Builders says so; of all other steps one is done at a time.
type Steps interface {
	// Key identifies everything that an image is made from.
	Key(i Image) (string, error)
	// Built is the digest of the image in its folder; empty: there is none.
	Built(i Image) string
	// Build builds the image with its evidence, and returns its digest.
	Build(ctx context.Context, i Image) (digest string, err error)
	// Planned tells where the image will be published. The error says if another image is
	// there.
	Planned(ctx context.Context, i Image) (reference string, err error)
	// Test tests the image in its folder.
	Test(ctx context.Context, i Image) (Tested, error)
	// Sign signs what is in the folder, and tells who signed.
	Sign(ctx context.Context, i Image) (who string, err error)
	// Push publishes the image. sent tells whether anything was missing.
	Push(ctx context.Context, i Image) (p Pushed, sent bool, err error)
	// Promote lets a channel name a published image.
	Promote(ctx context.Context, i Image, p Pushed, channel string) (c Channel, moved bool, err error)
}

// A Flow is one release.
type Flow struct {
	Images   []Image
	Until    string   // the last step
	Channels []string // that are promoted
	// Scope says what is tested, for people and to tell one test from another; empty: nothing
	// is tested.
	Scope string
	Steps Steps
	// Builders is how many images are built at the same time. One, or zero: an image begins
	// when the one before it is done.
	Builders int
	// Say is told what happens: an image, a step, and whether it is kept. One call at a time.
	Say func(image, step, state, note string)

	saying sync.Mutex
	doing  sync.Mutex // a step other than the build
}

// Result is what a release did, or would do.
type Result struct {
	Format  int           `json:"format"`
	Output  string        `json:"output"`
	Version string        `json:"version"`
	Plan    bool          `json:"plan"`
	Images  []ImageResult `json:"images"`
}

// An ImageResult is what happened to one image.
type ImageResult struct {
	Image
	Digest    string    `json:"digest,omitempty"`
	Reference string    `json:"reference,omitempty"`
	Disks     []Disk    `json:"disks"`
	Test      *Tested   `json:"test,omitempty"`
	Signer    string    `json:"signer,omitempty"`
	Steps     []Step    `json:"steps"`
	Channels  []Channel `json:"channels"`
	Error     string    `json:"error,omitempty"`
}

// A Disk is a file of the image's folder.
type Disk struct {
	Path   string `json:"path"`
	Digest string `json:"digest,omitempty"`
}

// A Step says what was done.
type Step struct {
	Step  string `json:"step"`
	State string `json:"state"`
	Note  string `json:"note,omitempty"`
}

// wants tells whether a step is a part of this release.
func (f *Flow) wants(step string) bool {
	order := Order()
	switch {
	case slices.Index(order, step) > slices.Index(order, f.Until):
		return false
	case step == Test:
		return f.Scope != ""
	case step == Promote:
		return len(f.Channels) > 0
	}
	return true
}

// Run releases the images. One that fails does not stop the others, but no channel is
// promoted then. The result is complete also if there is an error.
func (f *Flow) Run(ctx context.Context) (*Result, error) {
	r := &Result{Format: Format, Images: make([]ImageResult, len(f.Images))}
	states, errs := f.each(ctx, r.Images)
	if ctx.Err() != nil || !f.wants(Promote) {
		return r, errors.Join(errs...)
	}
	if len(errs) > 0 {
		return r, errors.Join(append(errs, fmt.Errorf("no channel was promoted, because %d of %d images failed", len(errs), len(f.Images)))...)
	}
	for i, image := range f.Images {
		one := &run{Flow: f, image: image, result: &r.Images[i], state: states[i]}
		if err := one.promote(ctx); err != nil {
			r.Images[i].Error = err.Error()
			return r, fmt.Errorf("%s: %w", image.Name, err)
		}
	}
	return r, nil
}

// each does all steps but the promotion, for each image. The errors are in the order of the
// images.
func (f *Flow) each(ctx context.Context, results []ImageResult) (states []state, errs []error) {
	states = make([]state, len(f.Images))
	failed := make([]error, len(f.Images))
	builders := make(chan struct{}, max(1, f.Builders))
	var all sync.WaitGroup
	for i, image := range f.Images {
		builders <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		results[i] = ImageResult{Image: image, Steps: []Step{}, Channels: []Channel{}, Disks: []Disk{}}
		free := sync.OnceFunc(func() { <-builders })
		one := &run{Flow: f, image: image, result: &results[i], built: free}
		if f.Builders <= 1 {
			one.built = func() {}
		}
		all.Go(func() {
			defer free()
			if err := one.steps(ctx); err != nil {
				results[i].Error = err.Error()
				failed[i] = fmt.Errorf("%s: %w", image.Name, err)
			}
			states[i] = one.state
		})
	}
	all.Wait()
	return states, slices.DeleteFunc(failed, func(err error) bool { return err == nil })
}

// A run is the release of one image.
type run struct {
	*Flow
	image  Image
	state  state
	result *ImageResult
	built  func() // is called when the image does not need its builder any more
}

// steps does all steps but the promotion. Images wait for each other behind the build.
func (r *run) steps(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{Build, r.build}, {Push, r.check}, {Test, r.test}, {Sign, r.sign}, {Push, r.push}} {
		if !r.wants(step.name) {
			continue
		}
		if ctx.Err() != nil {
			return r.interrupted(step.name)
		}
		if err := r.inTurn(ctx, step.name, step.do); err != nil {
			if ctx.Err() != nil {
				return r.interrupted(step.name)
			}
			r.note(step.name, Failed, "")
			return err
		}
	}
	return nil
}

// inTurn does a step, after the same step of another image unless it is the build.
func (r *run) inTurn(ctx context.Context, name string, do func(context.Context) error) error {
	if name == Build {
		defer r.built()
		return do(ctx)
	}
	r.doing.Lock()
	defer r.doing.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return do(ctx)
}

// interrupted is the error of a run that was ended.
func (r *run) interrupted(step string) error {
	return fmt.Errorf("%w before the end of the step %s: the same command goes on from there", ErrInterrupted, step)
}

// note records what was done.
func (r *run) note(step, state, text string) {
	r.result.Steps = append(r.result.Steps, Step{step, state, text})
	if r.Say != nil {
		r.saying.Lock()
		defer r.saying.Unlock()
		r.Say(r.image.Name, step, state, text)
	}
}

// build builds the image, unless it is there.
func (r *run) build(ctx context.Context) error {
	key, err := r.Steps.Key(r.image)
	if err != nil {
		return err
	}
	if r.state, err = readState(r.image.Folder); err != nil {
		return err
	}
	if r.state.has(key, r.Steps.Built(r.image)) {
		r.result.Digest = r.state.Digest
		r.note(Build, Kept, r.state.Digest)
		return nil
	}
	digest, err := r.Steps.Build(ctx, r.image)
	if err != nil {
		return err
	}
	if digest == "" {
		return errors.New("BUG: a build without a digest")
	}
	before := r.state
	r.state = state{Format: Format, Key: key, Digest: digest}
	if before.Digest == digest { // the same bytes: what was done with them counts
		r.state = before
		r.state.Key = key
	}
	r.result.Digest = digest
	r.note(Build, Done, digest)
	return r.state.write(r.image.Folder)
}

// check finds out, before hours of tests, whether the tag is free.
func (r *run) check(ctx context.Context) (err error) {
	r.result.Reference, err = r.Steps.Planned(ctx, r.image)
	return err
}

// test tests the image, unless the same image passed the same test.
func (r *run) test(ctx context.Context) error {
	if t := r.state.Tested; t.counts(r.state.Digest, r.Scope) {
		r.result.Test = t
		r.note(Test, Kept, fmt.Sprintf("%d checks on %s", t.Checks, t.Date))
		return nil
	}
	made, err := r.Steps.Test(ctx, r.image)
	made.Scope = r.Scope
	if made.Digest != "" {
		r.result.Test = &made
	}
	switch {
	case err != nil:
		return err
	case made.Digest != r.state.Digest:
		return fmt.Errorf("the test was about %s, and %s is to be released: somebody else changed %s; run it again", made.Digest, r.state.Digest, r.image.Folder)
	case !made.Passed:
		return fmt.Errorf("%w: see %s", ErrNotPassed, made.Report)
	}
	r.state.Tested = &made
	r.note(Test, Done, fmt.Sprintf("%d checks", made.Checks))
	return r.state.write(r.image.Folder)
}

// sign signs what is in the folder. Signing again adds nothing.
func (r *run) sign(ctx context.Context) error {
	who, err := r.Steps.Sign(ctx, r.image)
	if err != nil {
		return err
	}
	state := Done
	if s := r.state.Signed; s != nil && s.Digest == r.state.Digest && s.Signer == who {
		state = Kept
	}
	r.state.Signed, r.result.Signer = &Signed{r.state.Digest, who}, who
	r.note(Sign, state, who)
	return r.state.write(r.image.Folder)
}

// push publishes the image, and makes sure that it is the tested one.
func (r *run) push(ctx context.Context) error {
	p, sent, err := r.Steps.Push(ctx, r.image)
	if err != nil {
		return err
	}
	if p.Digest != r.state.Digest {
		return fmt.Errorf("%s was published, and %s was tested: somebody else changed %s", p.Digest, r.state.Digest, r.image.Folder)
	}
	state := Kept
	if sent {
		state = Done
	}
	r.state.Pushed, r.result.Reference = &p, p.Reference
	r.note(Push, state, p.Reference)
	return r.state.write(r.image.Folder)
}

// promote lets the channels name the image.
func (r *run) promote(ctx context.Context) error {
	if r.state.Pushed == nil || !r.state.Tested.counts(r.state.Digest, r.Scope) {
		return fmt.Errorf("BUG: %s is to be promoted, and was not tested and pushed", r.state.Digest)
	}
	for _, name := range r.Channels {
		if ctx.Err() != nil {
			return r.interrupted(Promote)
		}
		c, moved, err := r.Steps.Promote(ctx, r.image, *r.state.Pushed, name)
		if err != nil {
			return err
		}
		state := Kept
		if moved {
			state = Done
		}
		r.note(Promote, state, c.Reference)
		r.result.Channels = append(r.result.Channels, c)
		r.state.keep(c)
		if err := r.state.write(r.image.Folder); err != nil {
			return err
		}
	}
	return nil
}
