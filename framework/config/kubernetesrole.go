// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// The keys of the roles that a node can have in a cluster.
const (
	K3s       = "k3s"
	K3sAgent  = "k3s-agent"
	K0s       = "k0s"
	K0sWorker = "k0s-worker"
)

// Kubernetes is one role of a node in a cluster: a server or an agent of k3s, a
// controller or a worker of k0s. framework/machine/kubernetes acts on it.
type Kubernetes struct {
	Enabled *bool
	Origin  Position // of the key that enables it
	// Args are arguments of the program, each NAME=VALUE, NAME VALUE, NAME or VALUE.
	Args []Text
	// Env are variables of the program.
	Env []Setting
	// ReplaceArgs and ReplaceEnv leave out the arguments and variables that are made.
	ReplaceArgs, ReplaceEnv *bool
	// EmbeddedRegistry makes the nodes of k3s share their container images.
	EmbeddedRegistry *bool
	Manifests        []Manifest // of servers and controllers
	Registries       Registries
	Images           []Text // absolute paths of archives with container images
	Server           Text   // of k0s: https://HOST[:PORT], in place of the token's own
	Token            Text   // of k0s; a secret
}

// On tells whether the node has the role.
func (k Kubernetes) On() bool { return k.Enabled != nil && *k.Enabled }

// Manifest is a file with Kubernetes objects.
type Manifest struct {
	Name string // without .yaml
	Text Text   // YAML; may hold secrets
}

// Registries say how container images are pulled, in the form of registries.yaml of
// k3s (https://docs.k3s.io/installation/private-registry).
type Registries struct {
	Mirrors map[string]RegistryMirror
	Configs map[string]RegistryAccess
}

// RegistryMirror has the places that are asked instead of a registry.
type RegistryMirror struct {
	Endpoints []string          // URLs
	Rewrite   map[string]string // from a regular expression to a replacement
}

// RegistryAccess is how a registry is reached. It holds secrets.
type RegistryAccess struct {
	Username, Password, Auth, IdentityToken string
	CertFile, KeyFile, CAFile               string // absolute paths
	InsecureSkipVerify                      *bool
}

// roleFields are the keys that all roles have.
var roleFields = []field[Kubernetes]{
	{name: "enabled", about: "Whether it runs on this node.", shape: boolShape, decode: func(v value, k *Kubernetes) {
		setPointer(v, &k.Enabled, value.Boolean)
		k.Origin = v.Position()
	}},
	{name: "args", about: "Arguments of the program, such as --disable=traefik.", shape: listOf(givenShape), decode: decodeArgs},
	field[Kubernetes]{name: "env", about: "Variables of the program.", shape: mapOf(scalarShape), decode: func(v value, k *Kubernetes) {
		k.Env = v.settings(variableName, "the name of a variable")
	}}.hidden(),
	keepPointer("replace_args", "Whether args stand in for those that are made, not beside them.", aBool, func(k *Kubernetes) **bool { return &k.ReplaceArgs }),
	keepPointer("replace_env", "Whether env stands in for the one that is made (the proxy of the key env).", aBool, func(k *Kubernetes) **bool { return &k.ReplaceEnv }),
	keepPointer("embedded_registry", "Whether nodes of k3s hand container images to each other.", aBool, func(k *Kubernetes) **bool { return &k.EmbeddedRegistry }),
	{name: "images", about: "Archives with container images, by absolute path on the node.", shape: listOf(pathShape), decode: decodeImages},
}

var (
	manifestsField = field[Kubernetes]{name: "manifests", about: "Kubernetes objects: names, each with YAML.", shape: mapOf(textShape), decode: decodeManifests}.hidden()
	registryField  = field[Kubernetes]{name: "registries", about: "Mirrors and credentials of registries, as registries.yaml of k3s has them.", shape: mapping(registriesFields), decode: func(v value, k *Kubernetes) { decodeMap(v, registriesFields, &k.Registries) }}

	serverFields     = slices.Concat(roleFields, []field[Kubernetes]{manifestsField, registryField})
	agentFields      = slices.Concat(roleFields, []field[Kubernetes]{registryField})
	controllerFields = slices.Concat(roleFields, []field[Kubernetes]{manifestsField, registryField}, joinFields("controller", "9443"))
	workerFields     = slices.Concat(roleFields, []field[Kubernetes]{registryField}, joinFields("worker", "6443"))
)

// joinFields are the keys of a node of k0s that joins a cluster.
func joinFields(role, port string) []field[Kubernetes] {
	return []field[Kubernetes]{
		{name: "server", about: "The address that the " + role + " joins, https://HOST:" + port + ", in place of the token's own.", shape: joinURL.shape, decode: func(v value, k *Kubernetes) {
			if s, ok := joinURL.get(v); ok {
				k.Server = v.textOf(s)
			}
		}},
		field[Kubernetes]{name: "token", about: "The join token, as `k0s token create --role=" + role + "` prints it.", shape: givenShape, decode: func(v value, k *Kubernetes) { keepText(v, &k.Token) }}.hidden(),
	}
}

var joinURL = formed(lazyregexp.New(`^https://[^\s/@]+/?$`), "an address to join", "https://192.0.2.1:6443")

// role is the key of a role.
func role(name, about string, table []field[Kubernetes], at func(*Config) *Kubernetes) field[Config] {
	return field[Config]{name: name, about: about, shape: mapping(table), decode: func(v value, c *Config) {
		v.d.remember(name+".", decodeMap(v, table, at(c)))
	}}
}

func keepText(v value, into *Text) {
	if t, ok := v.given(); ok && v.oneLine(t.Text) {
		*into = t
	}
}

// decodeArgs hides arguments that hold a secret.
func decodeArgs(v value, k *Kubernetes) {
	k.Args = []Text{}
	before := ""
	for _, item := range v.list("arguments") {
		t, ok := item.given()
		if !ok || !item.oneLine(t.Text) {
			continue
		}
		if SecretArgument(t.Text) || valueFollows(before) {
			v.d.AllSecret(item.Node)
			item.onCmdline()
		}
		before = t.Text
		k.Args = append(k.Args, t)
	}
}

// secretArgument is the name of an argument of k3s or k0s whose value is a secret, or, as
// the address of a proxy or a datastore, may hold a password.
var secretArgument = lazyregexp.New(`^-{1,2}(t|token|agent-token|datastore-endpoint|etcd-s3-(access-key|secret-key|session-token|proxy)|vpn-auth)([= ]|$)`)

// SecretArgument tells whether the value of an argument is a secret.
func SecretArgument(argument string) bool { return secretArgument.MatchString(argument) }

// valueFollows tells whether the secret of an argument is the next item of the list.
func valueFollows(argument string) bool {
	return SecretArgument(argument) && !strings.ContainsAny(argument, "= ")
}

func decodeImages(v value, k *Kubernetes) {
	k.Images = []Text{}
	for _, item := range v.list("paths") {
		if s, ok := item.absolute(); ok {
			k.Images = append(k.Images, item.textOf(s))
		}
	}
}

// manifestName is a name that k3s accepts for a file of manifests (RFC 1123).
var manifestName = lazyregexp.New(`^[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\.yaml)?$`)

func decodeManifests(v value, k *Kubernetes) {
	for _, p := range v.pairs() {
		if !manifestName.MatchString(p.name) {
			p.key.Fail(fmt.Sprintf("%q is not the name of a manifest", strict.Printable(p.name)), "use lower-case letters, digits and -, such as ingress")
			continue
		}
		t, ok := p.value.given()
		if ok && p.value.objects(t.Text) {
			k.Manifests = append(k.Manifests, Manifest{Name: strings.TrimSuffix(p.name, ".yaml"), Text: t})
		}
	}
}

// objects checks that a text holds Kubernetes objects.
func (v value) objects(text string) bool {
	stream := yaml.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		var o struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
		}
		var doc yaml.Node
		err := stream.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return true
		case err == nil && doc.IsZero(), err == nil && len(doc.Content) == 1 && doc.Content[0].ShortTag() == "!!null":
			continue // a document with comments only
		case err == nil:
			err = doc.Decode(&o)
		}
		if err != nil || o.APIVersion == "" || o.Kind == "" {
			v.Fail(fmt.Sprintf("document %d of the manifest is no Kubernetes object", n+1), "it needs apiVersion and kind: try `kubectl apply --dry-run=client -f FILE`")
			return false
		}
	}
}

var registriesFields = []field[Registries]{
	{name: "mirrors", about: "Places to ask in place of a registry, by its name; \"*\" is every registry.", shape: mapOf(mapping(mirrorFields)), decode: func(v value, r *Registries) { r.Mirrors = byKey(v, mirrorFields) }},
	{name: "configs", about: "How a registry is reached, by its name.", shape: mapOf(mapping(accessFields)), decode: func(v value, r *Registries) { r.Configs = byKey(v, accessFields) }},
}

var mirrorFields = []field[RegistryMirror]{
	keep("endpoint", "URLs that are tried in this order.", many("URLs", aURL), func(m *RegistryMirror) *[]string { return &m.Endpoints }),
	keep("rewrite", "Other names of images there: from a regular expression to its replacement.", mapped(aGiven), func(m *RegistryMirror) *map[string]string { return &m.Rewrite }),
}

var accessFields = []field[RegistryAccess]{
	field[RegistryAccess]{name: "auth", about: "Credentials.", shape: mapping(authFields), decode: func(v value, a *RegistryAccess) { decodeMap(v, authFields, a) }}.hidden(),
	{name: "tls", about: "Certificates.", shape: mapping(tlsFields), decode: func(v value, a *RegistryAccess) { decodeMap(v, tlsFields, a) }},
}

var authFields = []field[RegistryAccess]{
	keep("username", "The user.", aGiven, func(a *RegistryAccess) *string { return &a.Username }),
	keep("password", "The password.", aGiven, func(a *RegistryAccess) *string { return &a.Password }),
	keep("auth", "User and password in one, in base64.", aGiven, func(a *RegistryAccess) *string { return &a.Auth }),
	keep("identity_token", "A token in place of user and password.", aGiven, func(a *RegistryAccess) *string { return &a.IdentityToken }),
}

var tlsFields = []field[RegistryAccess]{
	keep("cert_file", "The certificate of the node.", aPath, func(a *RegistryAccess) *string { return &a.CertFile }),
	keep("key_file", "The key of that certificate.", aPath, func(a *RegistryAccess) *string { return &a.KeyFile }),
	keep("ca_file", "The certificate of the registry's authority.", aPath, func(a *RegistryAccess) *string { return &a.CAFile }),
	keepPointer("insecure_skip_verify", "Whether the certificate of the registry is not checked.", aBool, func(a *RegistryAccess) **bool { return &a.InsecureSkipVerify }),
}

// byKey decodes a mapping whose keys are the names of registries.
func byKey[T any](v value, table []field[T]) map[string]T {
	out := map[string]T{}
	for _, p := range v.pairs() {
		var x T
		decodeMap(p.value, table, &x)
		out[p.name] = x
	}
	return out
}

// join adds what a later file says: mappings are joined by key, everything else of
// the later file wins.
func (k *Kubernetes) join(later Kubernetes) {
	wins(&k.Enabled, later.Enabled)
	if later.Enabled != nil {
		k.Origin = later.Origin
	}
	wins(&k.ReplaceArgs, later.ReplaceArgs)
	wins(&k.ReplaceEnv, later.ReplaceEnv)
	wins(&k.EmbeddedRegistry, later.EmbeddedRegistry)
	wins(&k.Server, later.Server)
	wins(&k.Token, later.Token)
	if later.Args != nil {
		k.Args = later.Args
	}
	if later.Images != nil {
		k.Images = later.Images
	}
	k.Env = joined(k.Env, later.Env, func(s Setting) string { return s.Name })
	k.Manifests = joined(k.Manifests, later.Manifests, func(m Manifest) string { return m.Name })
	k.Registries.join(later.Registries)
}

// joined are the items of both lists; of two with one name the later one counts.
func joined[T any](have, later []T, name func(T) string) []T {
	out := slices.Clone(have)
	for _, item := range later {
		i := slices.IndexFunc(out, func(h T) bool { return name(h) == name(item) })
		if i < 0 {
			out = append(out, item)
			continue
		}
		out[i] = item
	}
	return out
}

func (r *Registries) join(later Registries) {
	for name, m := range later.Mirrors {
		have := r.Mirrors[name]
		if m.Endpoints != nil {
			have.Endpoints = m.Endpoints
		}
		have.Rewrite = overlaid(have.Rewrite, m.Rewrite)
		r.Mirrors = overlaid(r.Mirrors, map[string]RegistryMirror{name: have})
	}
	for name, a := range later.Configs {
		have := r.Configs[name]
		wins(&have.Username, a.Username)
		wins(&have.Password, a.Password)
		wins(&have.Auth, a.Auth)
		wins(&have.IdentityToken, a.IdentityToken)
		wins(&have.CertFile, a.CertFile)
		wins(&have.KeyFile, a.KeyFile)
		wins(&have.CAFile, a.CAFile)
		wins(&have.InsecureSkipVerify, a.InsecureSkipVerify)
		r.Configs = overlaid(r.Configs, map[string]RegistryAccess{name: have})
	}
}

// overlaid has the entries of both maps; it changes neither of them.
func overlaid[V any](have, later map[string]V) map[string]V {
	if len(later) == 0 {
		return have
	}
	out := maps.Clone(have)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, later)
	return out
}
