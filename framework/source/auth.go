// SPDX-License-Identifier: Apache-2.0

package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychain looks for credentials in file, then in the places of docker and podman.
// An empty name means DefaultAuth, which need not exist.
func keychain(file string) (authn.Keychain, error) {
	f, err := os.Open(cmp.Or(file, DefaultAuth))
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return authn.DefaultKeychain, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the registry's credentials: %w", err)
	}
	defer f.Close()
	c, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's credentials: %s: %w: want docker's config.json", f.Name(), err)
	}
	return authn.NewMultiKeychain(fileKeys{c}, authn.DefaultKeychain), nil
}

// fileKeys are the credentials in a config.json.
type fileKeys struct{ config *configfile.ConfigFile }

// Resolve implements authn.Keychain.
func (k fileKeys) Resolve(target authn.Resource) (authn.Authenticator, error) {
	for _, key := range []string{target.String(), target.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
		}
		c, err := k.config.GetAuthConfig(key)
		if err != nil {
			return nil, err
		}
		if c.ServerAddress = ""; c != (types.AuthConfig{}) { // it is always set
			return authn.FromConfig(authn.AuthConfig{
				Username: c.Username, Password: c.Password, Auth: c.Auth,
				IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
			}), nil
		}
	}
	return authn.Anonymous, nil
}
