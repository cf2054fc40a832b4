#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lets dnf or zypper choose packages from lists of packages, without a network.

solve.py REQUEST REPOSITORIES ANSWER

REQUEST and ANSWER are the JSON of Request and Answer in package rpm. REPOSITORIES has a
folder with repodata/ for each repository. Whoever made them has verified them.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree


def main():
    request_file, repositories, answer_file = sys.argv[1:]
    with open(request_file, encoding="utf-8") as f:
        request = json.load(f)
    with tempfile.TemporaryDirectory() as work:
        solver = {"dnf": Dnf, "zypper": Zypper}[request["family"]](request, repositories, work)
        answer = {"jobs": solve(solver, request["jobs"])}
    with open(answer_file, "w", encoding="utf-8") as f:
        json.dump(answer, f, indent=1, sort_keys=True)


def solve(solver, jobs):
    """Solves each job over the packages of those below it. One that has problems ends it."""
    chosen, answers = {"": set()}, []
    for job in jobs:
        packages, problems = solver.choose(chosen[job["over"]], job["names"])
        new = sorted(packages - chosen[job["over"]])
        answers.append({"id": job["id"], "problems": problems, "packages": [{"repository": r, "id": i} for r, i in new]})
        if problems:
            break
        chosen[job["id"]] = packages | chosen[job["over"]]
    return answers


def identity(name, epoch, version, release, arch):
    """The identity of a package: NAME-[EPOCH:]VERSION-RELEASE.ARCH."""
    prefix = "" if str(epoch or 0) == "0" else f"{epoch}:"
    return f"{name}-{prefix}{version}-{release}.{arch}"


class Dnf:
    """dnf, by its own interface."""

    def __init__(self, request, repositories, work):
        import dnf  # pylint: disable=import-outside-toplevel,import-error

        self.dnf, self.base = dnf, dnf.Base()
        conf = self.base.conf
        conf.installroot = os.path.join(work, "root")
        conf.cachedir = os.path.join(work, "cache")
        conf.persistdir = os.path.join(work, "persist")
        conf.logdir = work
        conf.reposdir, conf.pluginpath = [], []
        conf.install_weak_deps, conf.best, conf.gpgcheck = False, True, False
        conf.substitutions.update(arch=request["arch"], basearch=request["arch"], releasever="none")  # all must be texts
        for name in request["repositories"]:
            self.base.repos.add_new_repo(name, conf, baseurl=[f"file://{repositories}/{name}"], skip_if_unavailable=False)
        self.base.fill_sack(load_system_repo=False)
        self.packages = {}
        for p in self.base.sack.query().available():
            self.packages[self.of(p)] = p

    def of(self, p):
        """The repository and the identity of a package."""
        return p.reponame, identity(p.name, p.epoch, p.version, p.release, p.arch)

    def choose(self, there, names):
        """The packages for names, with those that are there."""
        self.base.reset(goal=True)
        problems = []
        for p in sorted(there):
            self.base.package_install(self.packages[p])
        for name in names:
            try:
                self.base.install(name)
            except self.dnf.exceptions.MarkingError as e:
                problems.append(f"{e}")
        try:
            if not problems:
                self.base.resolve()
        except self.dnf.exceptions.DepsolveError as e:
            problems += lines(str(e))
        return (set(), problems) if problems else ({self.of(p) for p in self.base.transaction.install_set}, [])


class Zypper:
    """zypper, by its XML."""

    def __init__(self, request, repositories, work):
        self.work, self.arch = work, request["arch"]
        self.root = os.path.join(work, "root")
        repos = os.path.join(self.root, "etc/zypp/repos.d")
        os.makedirs(repos)
        for name in request["repositories"]:
            with open(os.path.join(repos, name + ".repo"), "w", encoding="utf-8") as f:
                f.write(f"[{name}]\nname={name}\nenabled=1\nautorefresh=0\nbaseurl=dir://{repositories}/{name}\ntype=rpm-md\ngpgcheck=0\n")
        self.config = os.path.join(work, "zypp.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"[main]\narch = {self.arch}\nsolver.onlyRequires = true\n")
        done = self.zypper("--no-gpg-checks", "refresh")
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)

    def zypper(self, *args):
        """Runs zypper in the root of this solver."""
        command = ["zypper", "--root", self.root, "--xmlout", "--non-interactive", *args]
        env = dict(os.environ, ZYPP_CONF=self.config, LC_ALL="C.UTF-8", HOME=self.work)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def choose(self, there, names):
        """The packages for names, with those that are there."""
        exact = [spec(i) for _, i in sorted(there)]
        done = self.zypper("--no-refresh", "install", "--dry-run", "--no-recommends", "--auto-agree-with-licenses", "--details", "--", *exact, *names)
        text = done.stdout
        try:
            tree = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            return set(), lines(text + done.stderr)
        if done.returncode != 0:
            return set(), problems_in(tree) or lines(text + done.stderr)
        return {chosen(s) for s in tree.iter("solvable") if s.get("type") == "package"}, []


def chosen(solvable):
    """The repository and the identity of a package in zypper's summary."""
    edition = solvable.get("edition")
    epoch, _, rest = edition.rpartition(":")
    version, _, release = rest.rpartition("-")
    return solvable.get("repository"), identity(solvable.get("name"), epoch, version, release, solvable.get("arch"))


def spec(ident):
    """How zypper's command line names exactly one package."""
    name, edition, arch = re.fullmatch(r"(.+)-((?:[0-9]+:)?[^-]+-[^-]+)\.([^.]+)", ident).groups()
    return f"{name}.{arch}={edition}"


def problems_in(tree):
    """What zypper says of the conflict, without its offers."""
    said = [" ".join((e.text or "").split()) for e in tree.iter() if e.tag in ("description", "message") and (e.get("type") or "error") == "error"]
    return [s.split(" Solution 1: ")[0] for s in said if s]


def lines(text):
    """The lines of a text that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
