// SPDX-License-Identifier: Apache-2.0

package crypt

import (
	"bytes"
	"strings"
	"testing"
)

// The first vectors come from the specification, section "Test vectors", the last
// two from libxcrypt.
var vectors = []struct {
	salt, password string
	rounds         int
	explicit       bool
	want           string
}{
	{"saltstring", "Hello world!", 5000, false, "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
	{"saltstringsaltstring", "Hello world!", 10000, true, "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
	{"toolongsaltstring", "This is just a test", 5000, true, "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"},
	{"roundstoolow", "the minimum number is still observed", 10, true, "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."},
	{"ab", "", 5000, false, "$6$ab$xnh5Qsr2NdbFw1PgdZie7nLON3gv.S.23iQDBqAzkdoXPtDnVSpludXkM5UWybQO3OI7hBj9wHg9Ow6sUWD60/"},
	{"ab", strings.Repeat("x", 200), 5000, false, "$6$ab$omzZb0bmJoRBt5rynstCYhtCkj5Pnaxr7/OBLY7H0ohGwnKPkfLLo1GLkoPb.oJKhfU9ZEA.dchxWSflGL.eh/"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		if got := sha512crypt(v.password, v.salt, v.rounds, v.explicit); got != v.want {
			t.Errorf("%s:\ngot  %s\nwant %s", v.salt, got, v.want)
		}
	}
}

func TestMatches(t *testing.T) {
	hash, err := Hash("geheim", bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "geheim", true}, {hash, "geheimer", false}, {"!" + hash, "geheim", false}, {"*", "", false},
		{vectors[1].want, "Hello world!", true}, {"$6$rounds=99999999$a$b", "x", false}, {"$6$", "", false},
	} {
		if got := Matches(c.hash, c.password); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.hash, c.password, got)
		}
	}
	if _, err := Hash("x", strings.NewReader("short")); err == nil {
		t.Error("no error without randomness")
	}
}

func FuzzMatches(f *testing.F) {
	f.Add(vectors[0].want, "x")
	f.Fuzz(func(_ *testing.T, hash, password string) { Matches(hash, password) })
}
