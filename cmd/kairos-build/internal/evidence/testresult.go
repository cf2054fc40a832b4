// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"fmt"
	"strings"
)

// Results of a test, as in-toto names them.
const (
	Passed = "PASSED"
	Warned = "WARNED"
	Failed = "FAILED"
)

// A TestResult is what `kairos-build test` found out about an image.
type TestResult struct {
	Image       string // digest: sha256:<hex>
	Name        string // of the image, for people
	Version     string // as its node reported it
	Date        string // 2006-01-02
	Accelerator string // kvm, or tcg for emulation
	QEMU        string // version
	Firmwares   []string
	Facts       []string // what is proven, in short phrases
	StandIn     bool     // the image is of a stand-in for a distribution, see flavors.StandIn
	Checks      []Check
	Crash       *Crash // states after power cuts; nil: not examined
}

// A Check is one thing that was looked at. It is what the predicate calls a test.
type Check struct {
	Machine string  `json:"machine"`
	Name    string  `json:"name"`  // stable, for programs
	Title   string  `json:"title"` // for people
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
}

// ID names the check among all of an image: bios/ready.
func (c Check) ID() string { return c.Machine + "/" + c.Name }

// Crash is how many disks after power cuts were examined.
type Crash struct {
	States int `json:"states"`
	Bad    int `json:"bad"`
	Booted int `json:"booted"`
}

// A testResult is the predicate test-result of version 0.1. What it has no field for is in
// the annotations of its configuration.
type testResult struct {
	Result        string        `json:"result"`
	Configuration []testedSetup `json:"configuration"`
	PassedTests   []string      `json:"passedTests"`
	WarnedTests   []string      `json:"warnedTests"`
	FailedTests   []string      `json:"failedTests"`
}

// A testedSetup is a Resource: how the image was tested, and each check.
type testedSetup struct {
	Name        string       `json:"name"`
	URI         string       `json:"uri"`
	Annotations testedImages `json:"annotations"`
}

type testedImages struct {
	Version     string   `json:"version"`
	Date        string   `json:"date"`
	Accelerator string   `json:"accelerator"`
	QEMU        string   `json:"qemu"`
	Firmwares   []string `json:"firmwares"`
	Facts       []string `json:"facts"`
	StandIn     bool     `json:"standIn,omitempty"`
	Crash       *Crash   `json:"crash,omitempty"`
	Checks      []Check  `json:"checks"`
}

const (
	testName = "kairos-build test"
	testURI  = home + "/test/v1"
)

// errNoImage is the error about a test of a disk without an image.
var errNoImage = errors.New("there is no image beside the disk, so its digest is not known: build with --artifact image,raw")

// Document is the test result as a document about its image.
func (t TestResult) Document() (Document, error) {
	if t.Image == "" {
		return Document{}, errNoImage
	}
	setup := testedSetup{testName, testURI, testedImages{
		t.Version, t.Date, t.Accelerator, t.QEMU, nonNil(t.Firmwares), nonNil(t.Facts), t.StandIn, t.Crash, nonNil(t.Checks),
	}}
	p := testResult{Result: t.Result(), Configuration: []testedSetup{setup}, PassedTests: t.with(Passed), WarnedTests: t.with(Warned), FailedTests: t.with(Failed)}
	data, err := statement{Type: statementType, Subject: subject(t.Name, t.Image), PredicateType: TestResultType, Predicate: p}.encode()
	return document(TestResultName, data), err
}

// Result is the worst result of a check, or of the crash states. Nothing was proven by
// nothing.
func (t TestResult) Result() string {
	switch {
	case len(t.with(Failed)) > 0 || len(t.Checks) == 0 || t.Crash != nil && t.Crash.Bad > 0:
		return Failed
	case len(t.with(Warned)) > 0:
		return Warned
	}
	return Passed
}

// with are the checks with a result. A name that a machine has twice counts as one check,
// with the worse result.
func (t TestResult) with(result string) []string {
	rank := map[string]int{Passed: 0, Warned: 1, Failed: 2}
	worst := map[string]string{}
	var order []string
	for _, c := range t.Checks {
		before, seen := worst[c.ID()]
		if !seen {
			order = append(order, c.ID())
		}
		if !seen || rank[c.Result] > rank[before] {
			worst[c.ID()] = c.Result
		}
	}
	list := []string{}
	for _, id := range order {
		if worst[id] == result {
			list = append(list, id)
		}
	}
	return list
}

// ParseTestResult reads a test result.
func ParseTestResult(data []byte) (TestResult, error) {
	image, p, err := parseStatement[testResult](data, TestResultType)
	if err != nil {
		return TestResult{}, err
	}
	if len(p.Configuration) != 1 || !strings.HasPrefix(p.Configuration[0].URI, testURI) {
		return TestResult{}, fmt.Errorf("the test result of %s was not written by %s", image, testName)
	}
	a := p.Configuration[0].Annotations
	return TestResult{
		Image: image, Version: a.Version, Date: a.Date, Accelerator: a.Accelerator, QEMU: a.QEMU,
		Firmwares: a.Firmwares, Facts: a.Facts, StandIn: a.StandIn, Checks: a.Checks, Crash: a.Crash,
	}, nil
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
