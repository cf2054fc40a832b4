// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"github.com/kairos-build/kairos-build/framework/config"
)

// tokenFile is the join token of k0s.
const tokenFile = runDir + "/token"

// k0s adds the files of a controller or a worker. k0s has no file for its arguments, so
// they are in the drop-in, which every user can read: the token is in a file.
func (p *Plan) k0s(c *config.Config, r role, args []given) {
	line := []string{r.distribution.Program(), r.command}
	if token, _ := r.joinToken(c); token != "" { // Check has reported an error
		p.secret(tokenFile, []byte(token+"\n"), true)
		line = append(line, "--token-file="+tokenFile)
	}
	for _, g := range args {
		line = append(line, g.String())
	}
	p.dropIn(r.unit, []string{p.data, "/etc/k0s"}, line)
	if r.key == config.K0s {
		p.manifests(p.data+"/manifests", r.of(c).Manifests)
	}
}
