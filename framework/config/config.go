// SPDX-License-Identifier: Apache-2.0

// Package config decodes cloud-config files, strictly: every mistake of a
// file is reported at once, with file, line, column, the path of the key and
// what to do. It decodes and merges; it changes nothing on a machine.
//
// A key is one of three things: implemented, known but not implemented yet
// (reported, the rest of the file is used), or unknown (an error). An error costs
// the part of the file that it is about, or the whole file: see Problem.Costs.
//
// The first line "#cloud-config", which Kairos and cloud-init require, is
// optional.
package config

// Config is what one file says, or several merged ones. The zero value says
// nothing.
type Config struct {
	Name     string // a title, for people
	Hostname string // RFC 1123 name, or a template that makes one
	// FQDN is the name with its domain. Merge makes Hostname from it, as
	// cloud-init does.
	FQDN             string
	PreferFQDN       *bool // Hostname becomes the whole FQDN
	PreserveHostname *bool // the name of the image stays
	ManageHosts      *bool // false: /etc/hosts is left alone
	Groups           []Group
	// Env are variables for the commands of stages, each NAME=VALUE.
	Env []string
	// CloudInitPaths are more directories with config files.
	CloudInitPaths []string
	Users          []User
	WriteFiles     []WriteFile
	// MainUser is the one of Users that top-level keys without a user name are
	// for, such as password. It is not merged.
	MainUser string
	// Distribution is that of the image, see DefaultUser.
	Distribution string
	// SSHAuthorizedKeys are keys without an owner. Merge leaves them here, for root,
	// only if there are no users. An entry may be a key source, see IsKeySource.
	SSHAuthorizedKeys []string
	// SSHForges are addresses that replace those of the forges.
	SSHForges ForgeBases
	// SSHPasswordAuth allows (or forbids) logins over SSH with a password, and
	// PasswordLogins does so for users by name.
	SSHPasswordAuth *bool
	PasswordLogins  map[string]bool
	// Health says when a slot on trial is good.
	Health Health
	// Upgrade has the settings of an upgrade of the node.
	Upgrade Upgrade
	// Install says how a machine is installed.
	Install Install
	// BindPCRs are registers of the TPM; nil: the default of framework/install.
	BindPCRs []int
	// Strict turns an error in a file, and a failed step, into a failed health
	// check: a slot on trial that refuses the config of this node, or cannot carry
	// it out, is left again.
	Strict *bool
	// ConfigURL is the HTTP or HTTPS URL of one more config. It may hold a
	// secret.
	ConfigURL string
	// K3s, K3sAgent, K0s and K0sWorker are the roles of the node in a cluster. A node
	// has at most one.
	K3s, K3sAgent, K0s, K0sWorker Kubernetes
	KubeVIP                       KubeVIP
	// Stages has the steps of each stage, in the order of the files.
	Stages map[string][]Step
	// Origins tells where a key was given: root keys by name, users.NAME,
	// users.NAME.KEY, health.KEY, upgrade.KEY, and k3s.KEY of each role.
	Origins map[string]Position
}

// User is an account that is to exist. Empty fields are not touched when the
// account exists already.
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
