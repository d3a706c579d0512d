"""Pythons from Debian: apt, with a small written repository, in directories of its own; and what is not Debian's."""

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import debian
from tools.debian import DebianError, Suite

NEEDED = ("apt-get", "dpkg-deb", "gpg", "gpgconf", "gpgv")
MISSING = [name for name in NEEDED if not shutil.which(name)]


ARCHITECTURES = pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])


class Repository:
    """A site with the packages `program` and `library`, which it depends on.

    Args:
        root: Its directory.
        debian_architecture: Of the packages.
    """

    def __init__(self, root: Path, debian_architecture: str) -> None:
        self.root = root
        self.site = f"copy:{root}"
        self.keyring = root / "keyring.gpg"
        self._architecture = debian_architecture
        root.mkdir()
        # Short: gpg's agent listens on a socket in it.
        self._home = tempfile.mkdtemp(prefix="gpg-")
        self._gnupg = {"GNUPGHOME": self._home, "PATH": os.environ["PATH"]}
        self._gpg("--quick-generate-key", "--pinentry-mode=loopback", "--passphrase=", "test", "ed25519", "sign")
        self.keyring.write_bytes(self._gpg("--export"))
        self.entries = [self._package("program", "library (= 1)"), self._package("library", "")]
        self.write()

    def close(self) -> None:
        """Ends gpg's agent, and removes the key."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self._gnupg, check=True, capture_output=True)
        shutil.rmtree(self._home)

    def write(self) -> None:
        """Writes the index of its packages, and signs it."""
        index = f"main/binary-{self._architecture}/Packages"
        content = "\n".join(self.entries).encode()
        suite = self.root / "dists" / debian.SUITE
        (suite / index).parent.mkdir(parents=True, exist_ok=True)
        (suite / index).write_bytes(content)
        lines = [f"Suite: {debian.SUITE}", f"Architectures: {self._architecture}", "Components: main"]
        lines += ["Date: Mon, 20 May 2024 16:29:45 UTC", "SHA256:"]
        lines += [f" {hashlib.sha256(content).hexdigest()} {len(content)} {index}", ""]
        (suite / "Release").write_text("\n".join(lines), encoding="utf-8")
        (suite / "InRelease").unlink(missing_ok=True)
        self._gpg("--clearsign", "--output", str(suite / "InRelease"), str(suite / "Release"))

    def _package(self, name: str, needs: str) -> str:
        """Packs `usr/lib/<name>`; returns the index's entry."""
        tree = self.root / name
        (tree / "usr/lib").mkdir(parents=True)
        (tree / "usr/lib" / name).write_text(name, encoding="utf-8")
        fields = [f"Package: {name}", "Version: 1", f"Architecture: {self._architecture}", "Maintainer: a test <t@t>"]
        fields += [f"Depends: {needs}"] * bool(needs) + [f"Description: {name}"]
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text("\n".join([*fields, ""]), encoding="utf-8")
        file = self.root / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
        content = file.read_bytes()
        fields += [f"Filename: {file.name}", f"Size: {len(content)}", f"SHA256: {hashlib.sha256(content).hexdigest()}"]
        return "\n".join([*fields, ""])

    def _gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--batch", "--quiet", "--yes", *arguments]
        return subprocess.run(command, env=self._gnupg, check=True, capture_output=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Repository]]:
    """Makes a repository for an architecture, whose key is trusted."""
    with contextlib.ExitStack() as ends:

        def made(architecture: str) -> Repository:
            made = Repository(tmp_path / "site", debian.DEBIAN[architecture])
            ends.callback(made.close)
            monkeypatch.setattr(debian, "KEYRING", made.keyring)
            return made

        yield made


@pytest.mark.optional
@pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")
class TestSuite:
    """What apt is asked to do, and what it refuses."""

    @ARCHITECTURES
    def test_package_and_what_it_needs_are_unpacked(
        self, repository: Callable[[str], Repository], tmp_path: Path, architecture: str
    ) -> None:
        """Of either architecture, whatever this machine's is; what was fetched is removed."""
        suite = Suite(tmp_path / "suite", repository(architecture).site, architecture)
        suite.prepare()
        suite.unpack("program")
        assert sorted(path.name for path in (suite.root / "lib").iterdir()) == ["library", "program"]
        assert list(suite.directory.rglob("*.deb")) == []

    def test_nothing_is_installed_or_read_on_this_machine(
        self, repository: Callable[[str], Repository], tmp_path: Path
    ) -> None:
        """Neither its package lists nor its list of what is installed; a second time it begins anew."""
        suite = Suite(tmp_path / "suite", repository("x86_64").site, "x86_64")
        suite.prepare()
        (suite.root / "stray").touch()
        suite.prepare()
        assert not (suite.root / "stray").exists()
        assert (suite.directory / "status").read_text(encoding="utf-8") == ""
        with pytest.raises(DebianError, match="Unable to locate package bash"):
            suite.unpack("bash")

    def test_package_that_is_not_the_one_that_was_signed_for_is_refused(
        self, repository: Callable[[str], Repository], tmp_path: Path
    ) -> None:
        """By its hash; nothing of it is unpacked."""
        site = repository("x86_64")
        content = bytearray((site.root / "library.deb").read_bytes())
        content[-1] ^= 1
        (site.root / "library.deb").write_bytes(content)
        suite = Suite(tmp_path / "suite", site.site, "x86_64")
        suite.prepare()
        with pytest.raises(DebianError, match=r"apt-get: E: .*"):
            suite.unpack("program")
        assert list((suite.root / "usr/lib").iterdir()) == []

    def test_index_that_was_changed_is_refused(self, repository: Callable[[str], Repository], tmp_path: Path) -> None:
        """It is held against the signed hash."""
        site = repository("x86_64")
        index = site.root / "dists" / debian.SUITE / "main/binary-amd64/Packages"
        index.write_bytes(index.read_bytes().replace(b"Version: 1", b"Version: 2"))
        with pytest.raises(DebianError, match="apt-get"):
            Suite(tmp_path / "suite", site.site, "x86_64").prepare()

    def test_site_whose_key_is_not_debians_is_refused(
        self, repository: Callable[[str], Repository], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever serves it; and one without any signature."""
        site = repository("x86_64")
        empty = tmp_path / "empty.gpg"
        empty.touch()
        monkeypatch.setattr(debian, "KEYRING", empty)
        with pytest.raises(DebianError, match="is not signed"):
            Suite(tmp_path / "suite", site.site, "x86_64").prepare()
        monkeypatch.setattr(debian, "KEYRING", site.keyring)
        (site.root / "dists" / debian.SUITE / "InRelease").unlink()
        with pytest.raises(DebianError, match="is not signed"):
            Suite(tmp_path / "suite", site.site, "x86_64").prepare()


class TestSite:
    """Where this machine gets Debian."""

    def told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> str:
        """What is made of apt's list of indices."""
        monkeypatch.setattr(debian, "run", lambda _command: text)
        keyring = tmp_path / "keyring"
        keyring.touch()
        monkeypatch.setattr(debian, "KEYRING", keyring)
        return debian.site()

    def test_first_one_of_debian_is_taken(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Others may stand before it, and some have no label."""
        text = "https://other.example.com Other Other\nhttps://none.example.com\nhttps://deb.example.com/debian "
        text += "Debian Debian\nhttps://security.example.com Debian Debian-Security\n"
        assert self.told(monkeypatch, tmp_path, text) == "https://deb.example.com/debian"

    @pytest.mark.parametrize("text", ["", "https://u.example.com Ubuntu Ubuntu\n", "https://s.example.com Debian x\n"])
    def test_machine_without_debian_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
        """An Ubuntu has other Pythons, under the same names."""
        with pytest.raises(DebianError, match="does not get its packages from Debian"):
            self.told(monkeypatch, tmp_path, text)

    def test_machine_without_debians_keys_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Nothing could be checked."""
        monkeypatch.setattr(debian, "run", lambda _command: "https://deb.example.com Debian Debian\n")
        monkeypatch.setattr(debian, "KEYRING", tmp_path / "none")
        with pytest.raises(DebianError, match="does not get its packages from Debian"):
            debian.site()


class TestPlaced:
    """A directory is there whole, or not at all."""

    def test_it_is_put_into_place_without_what_served_to_fetch_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Lists and packages take more room than the Python."""
        monkeypatch.setattr(debian, "FETCHED", tmp_path)
        with debian.placed("it") as partial:
            for name in ("lists", "cache", "root"):
                (partial / name).mkdir(parents=True)
        assert [path.name for path in tmp_path.iterdir()] == ["it"]
        assert [path.name for path in (tmp_path / "it").iterdir()] == ["root"]

    def test_failure_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next time it is fetched again."""
        monkeypatch.setattr(debian, "FETCHED", tmp_path)
        with pytest.raises(DebianError), debian.placed("it") as partial:  # noqa: PT012 - it fails halfway
            (partial / "root").mkdir(parents=True)
            raise DebianError("no room")
        assert list(tmp_path.iterdir()) == []

    def test_what_is_there_is_not_fetched_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither asks apt."""
        monkeypatch.setattr(debian, "FETCHED", tmp_path)
        monkeypatch.setattr(Suite, "prepare", lambda _suite: pytest.fail("fetched again"))
        (tmp_path / f"debian-{platform.machine()}").mkdir()
        (tmp_path / "debian-foreign-aarch64").mkdir()
        debian.fetch_native("https://deb.example.com")
        debian.fetch_foreign("https://deb.example.com")


class TestProgram:
    """`python -m tools.debian`."""

    def test_what_cannot_be_had_is_said_in_a_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a traceback; the Makefile goes on without."""
        monkeypatch.setattr(debian, "FETCHED", tmp_path / "pythons")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SystemExit, match=r"^tools\.debian: apt-get: No such file or directory$"):
            debian.main()

    def test_last_line_of_a_program_that_failed_is_passed_on(self) -> None:
        """Where apt and dpkg say why."""
        with pytest.raises(DebianError, match=r"^sh: at last$"):
            debian.run(["sh", "-c", "echo first >&2; echo at last >&2; exit 3"])
        with pytest.raises(DebianError, match=r"^sh: failed$"):
            debian.run(["sh", "-c", "exit 3"])
        assert debian.run(["echo", "well"]) == "well\n"

    def test_python_comes_without_its_packaging_tools(self) -> None:
        """The program, and its library."""
        assert debian.packages("3.14") == ("python3.14-minimal", "libpython3.14-stdlib")
