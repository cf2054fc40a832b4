// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/machine/netconfig"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// The files. Only root can read those below /oem: user data often holds secrets.
const (
	// UserDataFile is the same path as in Kairos. Further cloud-configs of a MIME
	// message are beside it, as 95_userdata_2.yaml and so on, and its scripts in
	// 95_userdata_scripts.yaml, as steps of the stage "boot".
	UserDataFile = "/oem/95_userdata.yaml"
	// ConfigURLFile is the config from the key config_url. It is not
	// UserDataFile, because that file may contain the key.
	ConfigURLFile = "/oem/96_config_url.yaml"
	// RejectedFile is the rejected user data, unchanged.
	RejectedFile = "/oem/.kairos/userdata.rejected"
	// StateFile holds the Memory, for boots without the source.
	StateFile = "/oem/.kairos/datasource.json"
	// RecordFile holds the Record of this boot; it has no secrets.
	RecordFile = "/run/kairos/datasource.json"
	// Sentinel exists if this boot has user data, as in Kairos.
	Sentinel = "/run/.userdata_load"
)

// Memory is the state that is kept across boots; it may hold secrets.
type Memory struct {
	Source        string   `json:"source"`
	InstanceID    string   `json:"instanceId,omitempty"`
	Hostname      string   `json:"hostname,omitempty"`
	Keys          []string `json:"keys,omitempty"`
	NetworkConfig string   `json:"networkConfig,omitempty"` // the last correct one
	Files         []string `json:"files,omitempty"`         // of the user data
	// Partly: errors make parts of the stored user data unusable.
	Partly bool `json:"partly,omitempty"`
}

// An Outcome says what happened to user data or a network-config.
type Outcome string

// The outcomes.
const (
	None      Outcome = "none"      // the source has none
	Stored    Outcome = "stored"    // new or changed
	Unchanged Outcome = "unchanged" // equal to the stored one
	Refused   Outcome = "refused"   // not correct; the stored one stays
	Kept      Outcome = "kept"      // no source, or it has none now; the stored one stays
)

// Record is the document in RecordFile. Readers ignore keys that they do not
// know.
type Record struct {
	Version       int      `json:"version"`
	Source        string   `json:"source"` // empty: none was found
	Place         string   `json:"place,omitempty"`
	InstanceID    string   `json:"instanceId,omitempty"`
	Hostname      string   `json:"hostname,omitempty"`
	Keys          int      `json:"keys"` // their number
	UserData      Outcome  `json:"userData"`
	NetworkConfig Outcome  `json:"networkConfig"`
	Files         []string `json:"files,omitempty"`
	// Waiting names the sources that are asked once there is a network.
	Waiting []string `json:"waiting,omitempty"`
	// Problems and Messages are for the operator.
	Problems     config.Problems `json:"problems,omitempty"`
	Messages     []string        `json:"messages,omitempty"`
	Notes        []string        `json:"notes,omitempty"`
	Milliseconds float64         `json:"milliseconds"`
}

// Changed tells whether new data was stored.
func (r *Record) Changed() bool { return r.UserData == Stored || r.NetworkConfig == Stored }

// Lines returns the problems and messages, one line each.
func (r *Record) Lines() []string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, p.Error())
	}
	return append(out, r.Messages...)
}

// fail adds an error to the messages.
func (r *Record) fail(err error) {
	if err != nil {
		r.Messages = append(r.Messages, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// Store stores data below Root.
type Store struct{ Root tree.Root }

// Memory reads StateFile; the zero Memory if it does not exist.
func (s Store) Memory() (Memory, error) {
	var out Memory
	data, err := s.Root.Read(StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = decodeJSON(StateFile, data, &out)
	}
	return out, err
}

// Keep returns the record of a boot without a source.
func (s Store) Keep() *Record {
	r := &Record{UserData: None, NetworkConfig: None}
	state, err := s.Memory()
	r.fail(err)
	r.Source, r.InstanceID, r.Hostname, r.Keys, r.Files = state.Source, state.InstanceID, state.Hostname, len(state.Keys), state.Files
	if len(state.Files) > 0 {
		r.UserData = Kept
	}
	if state.NetworkConfig != "" {
		r.NetworkConfig = Kept
	}
	return r
}

// Put stores the correct parts of d in place of the earlier data. User data that is
// unusable, or that has an error while correct user data of the same instance is
// stored, goes to RejectedFile; the stored user data stays.
func (s Store) Put(d *Data) (*Record, error) {
	r := &Record{Source: d.Source, Place: d.Place, InstanceID: d.InstanceID, Notes: d.Notes}
	old, err := s.Memory()
	r.fail(err)
	state := Memory{Source: d.Source, InstanceID: d.InstanceID, Files: old.Files, Partly: old.Partly}
	state.metaData(d, r)
	another := old.Source != "" && (old.Source != d.Source || old.InstanceID != d.InstanceID)
	state.network(d, r, old, another)
	userErr := s.userData(d, r, &state, old, another)
	r.Files = state.Files
	return r, errors.Join(userErr, s.remember(state))
}

// metaData takes the host name and the keys that are correct.
func (s *Memory) metaData(d *Data, r *Record) {
	if d.Hostname != "" {
		name, err := usableName(d.Hostname)
		if err != nil {
			r.fail(fmt.Errorf("the host name of datasource %s: %w", d.Source, err))
		}
		s.Hostname = name
	}
	for i, key := range d.Keys {
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key)); err != nil {
			r.fail(fmt.Errorf("public key %d of datasource %s is not an SSH public key, and not used", i+1, d.Source))
			continue
		}
		s.Keys = append(s.Keys, key)
	}
	r.Hostname, r.Keys = s.Hostname, len(s.Keys)
}

// usableName returns the host name. If it is not valid, such as a cloud's name with
// a domain too long for Linux, it returns the part before the first dot.
func usableName(name string) (string, error) {
	if err := config.CheckHostname(name); err != nil {
		short, _, qualified := strings.Cut(name, ".")
		if !qualified || config.CheckHostname(short) != nil {
			return "", err
		}
		return short, nil
	}
	return name, nil
}

func (s Store) remember(state Memory) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err == nil {
		_, err = s.Root.Replace(StateFile, tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	if err != nil {
		return fmt.Errorf("remembering the datasource: %w", err)
	}
	return nil
}

// network decides which network-config is used from now on.
func (s *Memory) network(d *Data, r *Record, old Memory, another bool) {
	text := string(d.NetworkConfig)
	switch {
	case strings.TrimSpace(text) == "":
		r.NetworkConfig = None
		if !another && old.NetworkConfig != "" {
			r.NetworkConfig, s.NetworkConfig = Kept, old.NetworkConfig
		}
		return
	case text == old.NetworkConfig:
		r.NetworkConfig = Unchanged
	default:
		r.NetworkConfig = Stored
	}
	_, problems := netconfig.Decode(d.Source+"/network-config", d.NetworkConfig)
	r.Problems = append(r.Problems, problems...)
	if !problems.Failed() {
		s.NetworkConfig = text
		return
	}
	r.NetworkConfig, s.NetworkConfig = Refused, old.NetworkConfig
	r.Messages = append(r.Messages, "network-config of datasource "+d.Source+" is not used, because of the errors above")
}

// userData stores user data, or rejects it; see Put.
func (s Store) userData(d *Data, r *Record, state *Memory, old Memory, another bool) error {
	parsed, err := userdata.Options{Encoded: d.Encoded}.Parse(d.Source+"/user-data", d.UserData)
	if err == nil {
		r.Problems = append(r.Problems, parsed.Problems()...)
	}
	whole := err == nil && !parsed.Problems().Failed()
	better := len(old.Files) > 0 && !another && !old.Partly // the stored user data is correct
	if err != nil || !parsed.Usable() || !whole && better {
		r.UserData = Refused
		r.fail(err)
		r.Messages = append(r.Messages, "user data of datasource "+d.Source+" is not used; it is in "+RejectedFile)
		_, err := s.Root.Replace(RejectedFile, tree.File{Data: d.UserData, Mode: 0o600})
		return err
	}
	_, removeErr := s.Root.Remove(RejectedFile)
	files, err := filesOf(parsed, UserDataFile)
	if err != nil {
		return errors.Join(err, removeErr)
	}
	state.Partly = !whole
	if len(files) == 0 {
		r.UserData = None
		if len(old.Files) > 0 && !another {
			r.UserData = Kept
			return removeErr
		}
	}
	changed, err := s.replace(files, old.Files)
	state.Files = paths(files)
	switch {
	case changed && len(files) > 0:
		r.UserData = Stored
	case len(files) > 0:
		r.UserData = Unchanged
	}
	return errors.Join(err, removeErr)
}

// A storedFile is a file that the config loader will read.
type storedFile struct {
	path string
	data []byte
}

func paths(files []storedFile) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.path)
	}
	return out
}

// replace writes files and removes the earlier files that are not among them.
func (s Store) replace(files []storedFile, before []string) (changed bool, err error) {
	var errs []error
	for _, f := range files {
		one, err := s.Root.Replace(f.path, tree.File{Data: f.data, Mode: 0o600})
		changed = changed || one
		errs = append(errs, err)
	}
	for _, old := range before {
		if slices.Contains(paths(files), old) || path.Dir(old) != path.Dir(UserDataFile) {
			continue
		}
		one, err := s.Root.Remove(old)
		changed = changed || one
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return changed, fmt.Errorf("storing the user data: %w", err)
	}
	return changed, nil
}

// filesOf returns a file for each document of the user data, the first at main.
func filesOf(u *userdata.UserData, main string) ([]storedFile, error) {
	documents, err := u.Documents()
	if err != nil {
		return nil, err
	}
	var out []storedFile
	stem := strings.TrimSuffix(main, ".yaml")
	for i, p := range documents {
		name := main
		switch {
		case i > 0 && i == len(documents)-1 && len(u.Scripts) > 0:
			name = stem + "_scripts.yaml"
		case i > 0:
			name = fmt.Sprintf("%s_%d.yaml", stem, i+1)
		}
		out = append(out, storedFile{name, p.Data})
	}
	return out, nil
}

// PutConfig stores the cloud-config of a URL, or of a step's datasource, in the file
// at. It does not write StateFile.
func (s Store) PutConfig(d *Data, at string) (*Record, error) {
	r := &Record{Source: d.Source, Place: d.Place, Notes: d.Notes, NetworkConfig: None, UserData: None}
	parsed, err := userdata.Options{Encoded: d.Encoded}.Parse(d.Source+"/user-data", d.UserData)
	if err == nil {
		r.Problems = parsed.Problems()
	}
	if err != nil || !parsed.Usable() || parsed.Problems().Failed() && s.Root.Exists(at) {
		r.UserData = Refused
		r.fail(err)
		r.Messages = append(r.Messages, "the config of "+d.Place+" is not used; it is in "+RejectedFile)
		_, err := s.Root.Replace(RejectedFile, tree.File{Data: d.UserData, Mode: 0o600})
		return r, err
	}
	files, err := filesOf(parsed, at)
	if err != nil || len(files) == 0 {
		return r, err
	}
	changed, err := s.replace(files, nil)
	r.UserData, r.Files = Unchanged, paths(files)
	if changed {
		r.UserData = Stored
	}
	return r, err
}

// Write writes the record, and Sentinel if there is user data.
func (s Store) Write(r *Record) error {
	r.Version = 1
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = s.Root.Replace(RecordFile, tree.File{Data: append(data, '\n'), Mode: 0o644})
	}
	if err == nil && len(r.Files) > 0 {
		_, err = s.Root.Replace(Sentinel, tree.File{Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing the record of the datasource: %w", err)
	}
	return nil
}

// Read reads the record; nil if there is none.
func Read(root tree.Root) (*Record, error) {
	data, err := root.Read(RecordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(Record)
	if err == nil {
		err = decodeJSON(RecordFile, data, r)
	}
	return r, err
}
