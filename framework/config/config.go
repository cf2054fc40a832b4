// SPDX-License-Identifier: Apache-2.0

// Package config decodes cloud-config files, strictly: every mistake of a
// file is reported at once, with file, line, column, the path of the key and
// what to do. It decodes and merges; it changes nothing on a machine.
//
// A key is one of three things: implemented, known but not implemented yet
// (reported, the rest of the file is used), or unknown (an error). A file with
// an error is not used at all; the other files are.
//
// The first line "#cloud-config", which Kairos and cloud-init require, may be
// there or not.
package config

// Config is what one file says, or several merged ones. The zero value says
// nothing.
type Config struct {
	Name     string // a title, for people
	Hostname string // RFC 1123 name, or a template that makes one
	// FQDN is the name with its domain. Merge makes Hostname of it as
	// cloud-init does.
	FQDN             string
	PreferFQDN       *bool // Hostname is to be FQDN as a whole
	PreserveHostname *bool // the name that the image has stays
	ManageHosts      *bool // false: /etc/hosts is left alone
	Groups           []Group
	// Env are variables for the commands of stages, each NAME=VALUE.
	Env []string
	// CloudInitPaths are more directories with config files.
	CloudInitPaths []string
	Users          []User
	WriteFiles     []WriteFile
	// MainUser is the one of Users that the keys at the top of a file are for,
	// which name nobody. It is not merged.
	MainUser string
	// Distribution is that of the image, see DefaultUser.
	Distribution string
	// SSHAuthorizedKeys are those of files without users, for root. Entries may
	// say where keys are, see IsKeySource.
	SSHAuthorizedKeys []string
	// SSHForges are addresses that take the place of the forges' own.
	SSHForges ForgeBases
	// SSHPasswordAuth allows (or forbids) logins over SSH with a password, and
	// PasswordLogins does so for users by name.
	SSHPasswordAuth *bool
	PasswordLogins  map[string]bool
	// Health says when a slot on trial is good.
	Health Health
	// Upgrade is what an upgrade of the node goes by.
	Upgrade Upgrade
	// Strict makes a file with an error, and a step that failed, a failed health
	// check: a slot on trial that refuses the config of this node, or cannot do
	// what it asks for, is left again.
	Strict *bool
	// ConfigURL is where one more config is fetched from, over HTTP or HTTPS; it
	// may hold a secret.
	ConfigURL string
	// Stages has the steps of each stage, in the order of the files.
	Stages map[string][]Step
	// Origins tells where a key was given: root keys by name, users.NAME,
	// users.NAME.KEY, health.KEY and upgrade.KEY.
	Origins map[string]Position
}

// User is an account that is to exist. Empty fields are not touched when the
// account is already there.
type User struct {
	Name   string
	Origin Position
	Gecos  string
	// Password is a crypt(5) hash, or plain text when PlainPassword is true.
	Password      string
	PlainPassword bool
	// LockPassword forbids logins with a password; keys still work. Unlike
	// in cloud-init, and as in Kairos, the default is not to lock.
	LockPassword      *bool
	UID               *int
	PrimaryGroup      string   // default: a group with the user's name
	Groups            []string // made when they do not exist
	HomeDir           string   // absolute; default /home/NAME
	NoCreateHome      *bool
	Shell             string   // absolute; default /bin/bash when it exists, else /bin/sh
	System            *bool    // uid and gid from the range of system accounts
	Sudo              []string // rules without the user's name; empty and not nil means none
	SSHAuthorizedKeys []string
}

// WriteFile is a file that is to have this content.
type WriteFile struct {
	Path    string // absolute and clean
	Origin  Position
	Content []byte
	// Mode has permission, setuid, setgid and sticky bits as chmod(1) has
	// them; default 0644.
	Mode uint32
	// Owner and Group are names or numbers; default root.
	Owner, Group string
	// Append adds Content to the end of the file, unless it is in the file.
	Append bool
}
