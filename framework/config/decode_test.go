// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kairos-build/kairos-build/ci/golden"
)

const problemsFile = "testdata/problems.txtar"

func TestProblems(t *testing.T) {
	archive, err := txtar.ParseFile(problemsFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".yaml"); ok {
			out = append(out, f, txtar.File{Name: name + ".out", Data: []byte(render(f))})
		}
	}
	archive.Files = out
	golden.Check(t, problemsFile, string(txtar.Format(archive)))
}

func render(f txtar.File) string {
	c, problems := Decode(f.Name, f.Data)
	if c == nil {
		return "BUG: no config\n"
	}
	if len(problems) == 0 {
		return "ok\n"
	}
	return problems.Error() + "\n"
}

// TestEveryProblemHasAPlace: every problem has a line, a column, a message, a
// severity and a file.
func TestEveryProblemHasAPlace(t *testing.T) {
	archive, err := txtar.ParseFile(problemsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		_, problems := Decode(f.Name, f.Data)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || p.Severity == "" || p.File != f.Name {
				t.Errorf("%s: %#v", f.Name, p)
			}
		}
	}
}

// TestNoSecretInProblems: no message shows the value of a password key, or of a key
// with a typo.
func TestNoSecretInProblems(t *testing.T) {
	for _, in := range []string{
		"users:\n- name: a\n  passwd: geheim\n",
		"users:\n- name: a\n  paswd: geheim\n",
		"users:\n- name: a\n  passwd: $6$geheim\n",
		"users:\n- name: a\n  passwd: [geheim]\n",
		"users:\n- {name: a, passwd: $geheim, shell: /bin/sh}\n",
		"users:\n- {name: a, plain_text_passwd: 1, hashed_passwd: geheim}\n",
		"paswords: geheim\n",
		"k3s:\n  env:\n    A: b\n    K3S_TOKEN: [geheim]\n",
		"p2p:\n  network_token: [geheim]\n",
		"password: $geheim\n",
		"chpasswd:\n  list: |\n    ada:*\n    geheim\n",
		"chpasswd:\n  list:\n  - geheim\n",
		"chpasswd:\n  users:\n  - name: ada\n    password: $geheim\n",
		"ssh_keys:\n  rsa_private: geheim\n",
		"health: {checks: [{http: 'ftp://ada:geheim@example.org'}]}\n",
	} {
		_, problems := Decode("f.yaml", []byte(in))
		if len(problems) == 0 {
			t.Errorf("%q: no problem", in)
		}
		if strings.Contains(problems.Error(), "geheim") {
			t.Errorf("%q: the secret is shown:\n%s", in, problems.Error())
		}
	}
}

const goodFile = `#cloud-config
hostname: node-1.example.org
ssh_pwauth: no
users:
  - name: ada
    gecos: Ada Lovelace
    passwd: "$5$saltsalt$KtPM6m2x5YQHK4/2GVXvZ5HODhcE7EXvQCbUhVTBzg6"
    lock_passwd: true
    groups: admin, video
    uid: 1234
    homedir: /home/lovelace/
    shell: /bin/sh
    sudo: ALL=(ALL) NOPASSWD:ALL
  - name: bob
    sudo: false
    system: true
write_files:
  - path: /etc/motd
    content: |
      hello
  - path: /etc/secret
    encoding: gz+b64
    content: H4sIAAAAAAAC/8tIzcnJBwCGphA2BQAAAA==
    permissions: 0o600
    owner: ada:video
    append: true
`

func TestDecode(t *testing.T) {
	got, problems := Decode("a.yaml", []byte(goodFile))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	at := func(line, column int) Position { return Position{File: "a.yaml", Line: line, Column: column} }
	want := &Config{
		Hostname:       "node-1.example.org",
		MainUser:       "ada",
		PasswordLogins: map[string]bool{"ada": false, "bob": false},
		Users: []User{{
			Name: "ada", Origin: at(5, 5), Gecos: "Ada Lovelace",
			Password:     "$5$saltsalt$KtPM6m2x5YQHK4/2GVXvZ5HODhcE7EXvQCbUhVTBzg6",
			LockPassword: new(true), Groups: []string{"admin", "video"}, UID: new(1234),
			HomeDir: "/home/lovelace", Shell: "/bin/sh", Sudo: []string{"ALL=(ALL) NOPASSWD:ALL"},
		}, {
			Name: "bob", Origin: at(14, 5), Sudo: []string{}, System: new(true),
		}},
		WriteFiles: []WriteFile{
			{Path: "/etc/motd", Origin: at(18, 5), Content: []byte("hello\n"), Mode: 0o644, Owner: "root", Group: "root"},
			{Path: "/etc/secret", Origin: at(21, 5), Content: []byte("hello"), Mode: 0o600, Owner: "ada", Group: "video", Append: true},
		},
	}
	origins := got.Origins
	got.Origins = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config differs (-want +got):\n%s", diff)
	}
	if got, want := origins["users.ada.shell"], at(12, 5); got != want {
		t.Errorf("origin of the shell: %v, want %v", got, want)
	}
}

// TestLongLine: the caret stands below the place in a line of any length.
func TestLongLine(t *testing.T) {
	_, problems := Decode("a.yaml", []byte("{name: "+strings.Repeat("ä", 300)+", strict: maybe, hostname: a}\n"))
	lines := strings.Split(problems.Error(), "\n")
	if len(lines) != 3 {
		t.Fatal(problems)
	}
	shown, caret := []rune(lines[1]), len([]rune(lines[2]))-1
	if got := string(shown[min(caret, len(shown)):]); !strings.HasPrefix(got, "maybe,") || len(shown) > 200 {
		t.Errorf("the caret stands below %q:\n%s", got, problems.Error())
	}
}

func TestDecodeLimits(t *testing.T) {
	t.Run("size", func(t *testing.T) {
		_, problems := Decode("a.yaml", make([]byte, MaxSize+1))
		if !problems.Failed() || !strings.Contains(problems.Error(), "16 MiB") {
			t.Errorf("got %v", problems)
		}
	})
	t.Run("aliases", func(t *testing.T) {
		in := "x: &k [" + strings.Repeat("a,", 2000) + "a]\nusers:\n" + strings.Repeat("- {name: u, groups: *k}\n", 1000)
		_, problems := Decode("a.yaml", []byte(in))
		if !strings.Contains(problems.Error(), "use fewer aliases") || !problems.Refused() {
			t.Errorf("no limit")
		}
	})
}

func FuzzDecode(f *testing.F) {
	archive, err := txtar.ParseFile(problemsFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	f.Add([]byte(goodFile))
	steps, err := os.ReadFile("testdata/steps.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(steps)
	for _, dir := range []string{"testdata/accepted", "testdata/refused"} {
		for _, data := range corpus(f, dir) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Decode("f.yaml", data)
		if c == nil {
			t.Fatal("no config")
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 {
				t.Fatalf("no place: %#v", p)
			}
			_ = p.Detail()
		}
		if again, _ := Decode("f.yaml", data); !cmp.Equal(c, again) {
			t.Fatal("decoding twice differs")
		}
		if !problems.Refused() {
			checkUsable(t, c)
			file := Options{}.DecodeFile("f.yaml", data)
			file.Lacks("users")
			Explain([]File{file}).Lines()
		}
		for _, cost := range problems.Costs() {
			if keysOf(cost).String() != cost {
				t.Fatalf("the cost %q cannot be taken apart", cost)
			}
		}
	})
}

// checkUsable checks what the code that applies a config relies on.
func checkUsable(t *testing.T, c *Config) {
	for _, u := range c.Users {
		if !accountName.MatchString(u.Name) || strings.ContainsAny(u.Password+u.Gecos+u.Shell+u.HomeDir, "\n") {
			t.Fatalf("unusable user %#v", u)
		}
	}
	for _, check := range c.Health.Checks {
		if check.Unit+check.HTTP+check.TCP == "" && len(check.Command) == 0 || check.Timeout < 0 {
			t.Fatalf("unusable check %#v", check)
		}
	}
	for _, steps := range c.Stages {
		for _, s := range steps {
			checkStep(t, s)
		}
	}
	for _, w := range c.WriteFiles {
		if !strings.HasPrefix(w.Path, "/") || w.Owner == "" {
			t.Fatalf("unusable file %#v", w)
		}
	}
}

func checkStep(t *testing.T, s Step) {
	for _, e := range append(s.EnsureEntities, s.DeleteEntities...) {
		if len(e.Fields) == 0 || e.Fields[0] == "" || strings.ContainsAny(strings.Join(e.Fields, ""), ":\n") || !strings.HasPrefix(e.Path, "/") {
			t.Fatalf("unusable entity %#v", e)
		}
	}
	for _, u := range s.Users {
		if !accountName.MatchString(u.Name) {
			t.Fatalf("unusable user %#v", u)
		}
	}
	for _, f := range s.Files {
		if f.PathText.IsZero() || f.Owner == "" || f.Mode > 0o7777 {
			t.Fatalf("unusable file %#v", f)
		}
	}
	for _, name := range s.Modules {
		if strings.HasPrefix(name, "-") || strings.ContainsAny(name, "/ .") {
			t.Fatalf("unusable module %q", name)
		}
	}
	for _, p := range s.Sysctl {
		if strings.Contains(p.Name, "..") || strings.Contains(p.Name, "//") {
			t.Fatalf("unusable parameter %q", p.Name)
		}
	}
}

// BenchmarkDecode decodes a small file, one with every key of a step, and one
// with 200 steps. It prints MB/s.
func BenchmarkDecode(b *testing.B) {
	steps, err := os.ReadFile("testdata/steps.yaml")
	if err != nil {
		b.Fatal(err)
	}
	many := "stages:\n  boot:\n" + strings.Repeat("    - name: a\n      files: [{path: /etc/a, content: hello}]\n      commands: [echo hello]\n", 200)
	for name, data := range map[string]string{"small": goodFile, "steps": string(steps), "200 steps": many} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, problems := Decode("a.yaml", []byte(data)); problems.Failed() {
					b.Fatal(problems)
				}
			}
		})
	}
}
