"""The stock machine: what is put on it, who works there, and what is made of the results.

That README's commands work there is what `make stock` shows, which takes minutes.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.tools.conftest import ROOT
from tools import stock


def test_commands_are_readmes() -> None:
    """What people are told to type first."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^(make \w+)  ", readme, re.MULTILINE)[:2]) == stock.COMMANDS


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An installation without anything."""
    root = tmp_path / "base"
    for name in ("etc/ssl/certs", "home/user"):
        (root / name).mkdir(parents=True)
    (root / "etc/hosts").write_text("its own", encoding="utf-8")
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout with a file that git knows, one it would add, one it ignores, and one that is gone."""
    if not shutil.which("git"):
        pytest.skip("no git on this machine")
    root = tmp_path / "source"
    (root / "tools").mkdir(parents=True)
    for name, text in (("known", "1"), ("gone", "1"), (".gitignore", "build\n"), ("tools/new", "2"), ("build", "3")):
        (root / name).write_text(text, encoding="utf-8")
    git = ["git", "-C", str(root)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "known", "gone", ".gitignore"], check=True)
    (root / "gone").unlink()
    (root / "known").chmod(0o755)
    return root


def test_checkout_is_put_into_the_users_home(base: Path, source: Path, tmp_path: Path) -> None:
    """As it is now, permissions included, without what was made in it; the installation stays as it was."""
    root = tmp_path / "machine"
    (root / "left").mkdir(parents=True)
    stock.machine(base, root, source, etc=tmp_path / "none")
    checkout = root / stock.CHECKOUT
    assert {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()} == {
        *("known", ".gitignore", "tools/new")
    }
    assert os.access(checkout / "known", os.X_OK)
    assert not (root / "left").exists()
    assert list((base / "home/user").iterdir()) == []


def test_machine_reaches_pypi_as_this_one_does(base: Path, source: Path, tmp_path: Path) -> None:
    """By files that are copied and variables that are passed on, and nothing else of this machine's."""
    etc = tmp_path / "here"
    (etc / "etc/ssl/certs").mkdir(parents=True)
    (etc / "etc/hosts").write_text("ours", encoding="utf-8")
    (etc / "etc/ssl/certs/ca-certificates.crt").write_text("ours", encoding="utf-8")
    (etc / "etc/passwd").write_text("ours", encoding="utf-8")
    root = tmp_path / "machine"
    stock.machine(base, root, source, etc=etc)
    assert (root / "etc/hosts").read_text(encoding="utf-8") == "ours"
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8") == "ours"
    assert not (root / "etc/passwd").exists()
    words = stock.command(root, ["make", "demo"], {"https_proxy": "http://x", "PYTHONPATH": "/ours"})
    assert "https_proxy=http://x" in words
    assert "PYTHONPATH" not in " ".join(words)
    assert words[-2:] == ["make", "demo"]


ASK = "id -u; id -g; id -G; ulimit -Sn; ulimit -Hn; pwd; echo $HOME; ls /; touch made; echo hidden:$HIDDEN; echo $$"


def test_commands_run_as_an_ordinary_user_with_1024_descriptors(tmp_path: Path) -> None:
    """On a root directory of their own, among processes of their own; here it has this machine's programs."""
    try:
        stock.require([name for name in stock.PROGRAMS if name != "debootstrap"])
    except stock.StockError as error:
        pytest.skip(str(error))
    root = tmp_path / "root"
    for name in ("usr", "proc", "sys", "dev", "mnt", "etc", stock.CHECKOUT):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/passwd").write_text("user:x:1000:1000::/home/user:/bin/sh\n", encoding="utf-8")
    (root / "etc/group").write_text("user:x:1000:\n", encoding="utf-8")
    os.chown(root / stock.CHECKOUT, 1000, 1000)
    entering = stock.command(root, ["sh", "-c", ASK], {"HIDDEN": "this machine's"})
    with_programs = ["unshare", "--mount", "--propagation=private", "sh", "-c", 'mount --bind /usr "$0" && exec "$@"']
    done = subprocess.run(
        [*with_programs, str(root / "usr"), *entering], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    user, group, groups, soft, hard, where, home, *names, hidden, pid = done.stdout.split()
    assert (user, group, groups, soft, hard) == ("1000", "1000", "1000", "1024", "1024")
    assert (where, home) == (f"/{stock.CHECKOUT}", "/home/user")
    assert set(names) == {path.name for path in root.iterdir()}
    assert hidden == "hidden:"
    assert int(pid) < 20
    assert (root / stock.CHECKOUT / "made").stat().st_uid == 1000
    assert list((root / "dev").iterdir()) == []


class TestRequire:
    """What this machine needs to make the other."""

    def test_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Debootstrap and mounts need it."""
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(stock.StockError, match="making a machine needs root"):
            stock.require()

    def test_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each that is missing is named."""
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(stock.StockError, match=r"no nowhere-1, nowhere-2 on this machine: apt-get install"):
            stock.require(["sh", "nowhere-1", "nowhere-2"])


SUITE = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="{tests}">
<testcase name="a"><skipped type="pytest.skip" message="no root"/></testcase>
<testcase name="b"><skipped type="pytest.skip" message="no root"/></testcase>
<testcase name="c"><skipped type="pytest.skip" message="no agent"/></testcase></testsuite></testsuites>"""


class TestRan:
    """What is made of the results."""

    def test_skips_are_counted_by_reason(self, tmp_path: Path) -> None:
        """For whoever reads what a stock machine lacks."""
        (tmp_path / "tests.xml").write_text(SUITE.format(tests=10), encoding="utf-8")
        assert stock.ran(tmp_path / "tests.xml") == (7, Counter({"no root": 2, "no agent": 1}))

    @pytest.mark.parametrize("text", [SUITE.format(tests=3), "no XML", None])
    def test_nothing_that_ran_is_a_failure(self, tmp_path: Path, text: str | None) -> None:
        """All skipped, nonsense, nothing."""
        if text:
            (tmp_path / "tests.xml").write_text(text, encoding="utf-8")
        with pytest.raises(stock.StockError):
            stock.ran(tmp_path / "tests.xml")
