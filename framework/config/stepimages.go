// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// UnpackImage is an OCI image whose files are to be in a directory.
type UnpackImage struct {
	Origin Position
	// Source is oci:REF, dir:PATH, ocifile:FILE, file:PATH or a REF. One with a
	// digest needs no network when it is unpacked already.
	Source   Text
	Target   Text   // a directory
	Platform string // linux/ARCH; default: that of the node
	// SkipVerify unpacks the image whoever made it.
	SkipVerify bool
}

var unpackFields = []field[UnpackImage]{
	{name: "source", decode: func(v value, u *UnpackImage) {
		set(v, &u.Source, func(v value) (Text, bool) { return v.checked(value.word) })
	}},
	{name: "target", decode: func(v value, u *UnpackImage) { set(v, &u.Target, value.pathText) }},
	{name: "platform", decode: func(v value, u *UnpackImage) { set(v, &u.Platform, value.platform) }},
	{name: "insecure_skip_verify", decode: func(v value, u *UnpackImage) { set(v, &u.SkipVerify, value.Boolean) }},
}

func decodeUnpackImages(v value, s *Step) {
	for _, item := range v.list("images") {
		u := UnpackImage{Origin: item.Position()}
		pairs := decodeMap(item, unpackFields, &u)
		switch {
		case !item.requires(pairs, "source", "target") || u.Source.IsZero() || u.Target.IsZero():
		case u.Target.Text == "/":
			item.Fail("the root cannot be the target of an image", "most of it is read-only; give a directory, such as /opt/tool")
		default:
			item.writable(u.Target.Text)
			s.UnpackImages = append(s.UnpackImages, u)
		}
	}
}

var platform = lazyregexp.New(`^linux/[a-z0-9]+$`)

func (v value) platform() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && !platform.MatchString(s) {
		v.Fail(fmt.Sprintf("%q is not a platform that can be unpacked", strict.Printable(s)), "write it such as linux/amd64")
		return "", false
	}
	return s, ok
}

// firstboot are the settings of systemd-firstboot(1) that can be read back, so
// that a second run changes nothing.
var firstboot = []string{"locale", "locale-messages", "keymap", "timezone", "hostname"}

// insteadOf says what to write in place of its other settings.
var insteadOf = map[string]string{
	"root-password": "write it under users", "root-password-file": "write it under users", "root-password-hashed": "write it under users",
	"root-shell": "write it under users", "machine-id": "it is made at the first boot, and kept",
	"kernel-command-line": "it belongs into the flavor", "setup-machine-id": "it is made at the first boot, and kept",
}

// withoutEffect are settings that change nothing on a node, and why.
var withoutEffect = map[string]string{
	"force": "a setting is written whatever there was", "welcome": "nobody is asked anything",
	"copy": copied, "copy-locale": copied, "copy-keymap": copied, "copy-timezone": copied,
}

const copied = "the settings of the node are there already"

// decodeFirstboot is a mapping as in Kairos. Names may have _ for -.
func decodeFirstboot(v value, s *Step) {
	for _, p := range v.pairs() {
		name := strings.ReplaceAll(strings.ToLower(p.name), "_", "-")
		if instead, ok := withoutEffect[name]; ok {
			p.key.Report(Warning, name+" has no effect: "+instead, "remove the key")
			continue
		}
		if !slices.Contains(firstboot, name) {
			suggestion := "it has " + strings.Join(firstboot, ", ")
			if instead, ok := insteadOf[name]; ok {
				suggestion = instead
			}
			v.d.Secret(p.value.Node) // it may be a password
			p.key.Fail("unknown setting of systemd_firstboot", suggestion)
			continue
		}
		if t, ok := p.value.checked(value.word); ok {
			s.SystemdFirstboot = append(s.SystemdFirstboot, Setting{name, t})
		}
	}
}

// notHere is a key of Kairos that cannot work on a node: the rest of the step is
// done.
func notHere(name, why, instead string) func(value, *Step) {
	return func(v value, s *Step) {
		v.Report(Warning, name+" does nothing here: "+why, instead)
		s.Later = append(s.Later, name)
	}
}
