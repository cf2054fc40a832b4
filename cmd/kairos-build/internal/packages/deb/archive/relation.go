// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"strings"
)

// A Relation is one package of a relationship field: a name with an optional
// version bound and an optional architecture qualifier (Debian Policy 7.1).
type Relation struct {
	Name    string
	Arch    string // qualifier: "any", "native", an architecture, or ""
	Op      string // "<<", "<=", "=", ">=", ">>", or "" for any version
	Version string
}

// Alternatives is a group of relations; one of them is enough.
type Alternatives []Relation

func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

func (a Alternatives) String() string {
	parts := make([]string, len(a))
	for i, r := range a {
		parts[i] = r.String()
	}
	return strings.Join(parts, " | ")
}

// ParseRelations reads a relationship field such as
// "libc6 (>= 2.41), awk | mawk, perl:any". Restriction lists ([arch], <profile>)
// belong to source packages and are errors.
func ParseRelations(field string) ([]Alternatives, error) {
	var out []Alternatives
	for group := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(group) == "" {
			continue
		}
		alts, err := parseAlternatives(group)
		if err != nil {
			return nil, err
		}
		out = append(out, alts)
	}
	return out, nil
}

func parseAlternatives(group string) (Alternatives, error) {
	var alts Alternatives
	for one := range strings.SplitSeq(group, "|") {
		r, err := parseRelation(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		alts = append(alts, r)
	}
	return alts, nil
}

func parseRelation(s string) (Relation, error) {
	name, bound, bounded := strings.Cut(s, "(")
	r := Relation{Name: strings.TrimSpace(name)}
	r.Name, r.Arch, _ = strings.Cut(r.Name, ":")
	if !validPackageName(r.Name) || strings.ContainsAny(r.Arch, " \t\n[<:") {
		return r, fmt.Errorf("%q is no package relation: want \"name\" or \"name (>= version)\"", s)
	}
	if !bounded {
		return r, nil
	}
	bound, ok := strings.CutSuffix(bound, ")")
	r.Op, r.Version = cutOperator(strings.TrimSpace(bound))
	if !ok || r.Op == "" || r.Version == "" || strings.ContainsAny(r.Version, " \t\n()") {
		return r, fmt.Errorf("%q has no valid version bound: want (<<, <=, =, >= or >> and a version)", s)
	}
	return r, nil
}

// cutOperator also reads the old spellings "<" and ">", which mean <= and >=.
func cutOperator(s string) (op, version string) {
	for _, op := range []string{"<<", "<=", ">=", ">>", "=", "<", ">"} {
		v, ok := strings.CutPrefix(s, op)
		if !ok {
			continue
		}
		if op == "<" || op == ">" {
			op += "="
		}
		return op, strings.TrimSpace(v)
	}
	return "", ""
}

// allows reports whether a version is inside the relation's bound.
func (r Relation) allows(version string) bool {
	if r.Op == "" {
		return true
	}
	c := CompareVersions(version, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default:
		return c > 0
	}
}

// validPackageName follows Debian Policy 5.6.1, but allows one-letter and upper-case
// names, as dpkg does.
func validPackageName(s string) bool {
	if s == "" || strings.IndexByte("+-.", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && strings.IndexByte("+-._", c) < 0 {
			return false
		}
	}
	return true
}
