// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// Step is one step of a stage, as in the configs of Kairos. A node carries it out in
// the order of the fields, from Layout on.
type Step struct {
	Name   string
	Origin Position
	Path   string // of the key, such as stages.boot[0]
	Title  string // the name of the step's config

	// Links are symbolic links, made after Files. Only keys of cloud-init make
	// them.
	Links []Link `json:",omitempty"`

	// The step is skipped unless all conditions that are given hold.
	If                              Text // a command of /bin/sh that exits with 0
	IfFiles                         IfFiles
	OnlyOS, OnlyOSVersion, OnlyArch string // regular expressions
	OnlyServiceManager              string // systemd or openrc
	Node                            Text   // a host name, or a regular expression for it

	// After names the steps that come before this one; nil: the previous step in
	// the merged files.
	After []Text

	Layout           *DiskLayout // nil: not given
	EnsureEntities   []Entity
	Users            []User
	DNS              DNS
	UnpackImages     []UnpackImage
	Git              *Git // nil: not given
	Downloads        []Download
	Directories      []Directory
	Files            []StepFile
	Commands         []Text // of /bin/sh
	DeleteEntities   []Entity
	Hostname         Text
	SystemdFirstboot []Setting
	Sysctl           []Setting
	AuthorizedKeys   []UserKeys
	Modules          []string
	Timesyncd        []Setting
	Systemctl        Systemctl
	Environment      []Setting
	EnvironmentFile  Text // default /etc/environment
	Datasource       Datasource

	// Later are keys of the step that this version, or any node, does not act on.
	Later []string
}

// Text is a value that may hold a template.
type Text struct {
	Text   string
	Origin Position // where the text begins: below the "|" of a block
	Path   string   // of the key
}

// IsZero tells whether the key was not given.
func (t Text) IsZero() bool { return t.Path == "" }

// IfFiles is a condition: one of Any, all of All and none of None exist.
type IfFiles struct{ Any, All, None []string }

// Setting is a name and its value.
type Setting struct {
	Name  string
	Value Text
}

// StepFile is a file of a step. Path and Content of the WriteFile are empty
// where a template has to be filled in first.
type StepFile struct {
	WriteFile
	PathText Text
	// Text is the content. With an encoding it is not given: such a content is no
	// template and stands in Content.
	Text Text
}

// Directory is a directory that is to exist.
type Directory struct {
	Path         Text
	Origin       Position
	Mode         uint32 // default 0755
	Owner, Group string // default root
}

// Download is a file that is fetched.
type Download struct {
	Path, URL    Text
	Origin       Position
	Mode         uint32 // default 0644
	Owner, Group string // default root
	Timeout      time.Duration
	SHA256       string // 64 lower-case hex digits; empty: the file is not checked
}

// Link is a symbolic link that is to exist.
type Link struct {
	Path, Target string
	Origin       Position
	// Missing is the message when the target does not exist; empty: it need
	// not exist.
	Missing string
}

// Entity is a line of an account file: passwd(5), shadow(5), group(5) or
// gshadow(5).
type Entity struct {
	Origin Position
	Path   string   // of the file; default by Kind
	Kind   string   // user, shadow, group, gshadow
	Fields []string // of the line; the first is the name
}

// UserKeys are SSH keys that are added to those of a user.
type UserKeys struct {
	User   string
	Origin Position
	Keys   []string
}

// DNS is the content of resolv.conf(5).
type DNS struct {
	Nameservers, Search, Options []Text
	Path                         string // default /etc/resolv.conf
}

// Systemctl is what systemd is asked for, in the order of the fields.
type Systemctl struct {
	Overrides                    []Override
	Mask, Disable, Enable, Start []string // units
}

// Override is a drop-in of a unit.
type Override struct {
	Unit    string
	Name    string // of the file; default override-kairos.conf
	Content Text
	Origin  Position
}
