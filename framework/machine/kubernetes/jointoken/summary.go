// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A Summary is what `kairos-agent token show --json` prints: one JSON object.
type Summary struct {
	Distribution string    `json:"distribution"` // k0s
	Role         Role      `json:"role"`
	Server       string    `json:"server"`
	User         string    `json:"user"`
	ID           string    `json:"id"`
	Authority    Authority `json:"authority"`
	// Secret is the second part of the bootstrap token; missing unless it was asked for.
	Secret string `json:"secret,omitempty"`
	// Doubts are sentences about an address that is seldom right.
	Doubts []string `json:"doubts"`
}

// Summary describes the token, and shows its secret if secret is true.
func (t Token) Summary(secret bool) Summary {
	s := Summary{Distribution: "k0s", Role: t.Role, Server: t.Server, User: t.User, ID: t.ID, Authority: t.Authority, Doubts: t.Doubts()}
	if secret {
		s.Secret = t.secret
	}
	return s
}

// WriteTable prints the summary for a person.
func (s Summary) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "distribution\t%s\nrole\t%s\nserver\t%s\nuser\t%s\n", s.Distribution, s.Role, s.Server, s.User)
	fmt.Fprintf(t, "authority\t%s, until %s\n\tsha256 %s\n", s.Authority.Subject, s.Authority.NotAfter.Format(time.DateOnly), s.Authority.SHA256)
	fmt.Fprintf(t, "id\t%s\nsecret\t%s\n", s.ID, cmp.Or(s.Secret, "not shown; --secret shows it"))
	for _, doubt := range s.Doubts {
		fmt.Fprintf(t, "doubt\t%s\n", doubt)
	}
	return t.Flush()
}
