// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
)

// The elements of a JUnit report, as CI servers read them.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
		seconds  float64
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		Time    string     `xml:"time,attr"`
		Failure *junitNote `xml:"failure"`
		Skipped *junitNote `xml:"skipped"`
		Output  string     `xml:"system-out,omitempty"`
	}
	junitNote struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit is the content of test.xml: one suite for each machine.
func (r *Report) JUnit() ([]byte, error) {
	doc := junitSuites{Name: "kairos-build test " + r.Disk, Time: decimal(r.Seconds)}
	index := map[string]int{}
	for _, c := range r.Checks {
		i, ok := index[c.Machine]
		if !ok {
			i = len(doc.Suites)
			index[c.Machine] = i
			doc.Suites = append(doc.Suites, junitSuite{Name: c.Machine})
		}
		doc.Suites[i].add(c)
	}
	data, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", JUnitName, err)
	}
	return append([]byte(xml.Header), append(data, '\n')...), nil
}

func (s *junitSuite) add(c lab.Result) {
	tc := junitCase{Class: "acceptance." + c.Machine, Name: c.Title, Time: decimal(c.Seconds)}
	first, _, _ := strings.Cut(c.Message, "\n")
	switch c.Status {
	case lab.Fail:
		s.Failures++
		tc.Failure = &junitNote{first, c.Message}
	case lab.Skip:
		s.Skipped++
		tc.Skipped = &junitNote{Message: first}
	case lab.Pass:
		tc.Output = c.Message
	}
	s.Tests++
	s.seconds += c.Seconds
	s.Time = decimal(s.seconds)
	s.Cases = append(s.Cases, tc)
}

func decimal(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }
