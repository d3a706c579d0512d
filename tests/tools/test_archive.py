"""The zip: order, times, permissions, and back."""

import os
import stat
import zipfile
from pathlib import Path

from tools import archive


def tree(root: Path) -> Path:
    """A small tree with one program."""
    for name in ("b/two.py", "a/one.py", "extensions/run", "c.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n" * 50, encoding="utf-8")
    return root


def is_run(name: str) -> bool:
    """Whether the entry is the program."""
    return name == "extensions/run"


def test_entries_are_sorted_timeless_and_of_two_modes(tmp_path: Path) -> None:
    """Nothing in an entry depends on when or where it was packed."""
    archive.write(tree(tmp_path / "tree"), tmp_path / "x.zip", is_run)
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        entries = packed.infolist()
    assert [entry.filename for entry in entries] == ["a/one.py", "b/two.py", "c.txt", "extensions/run"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = [stat.filemode(entry.external_attr >> 16) for entry in entries]
    assert modes == ["-rw-r--r--", "-rw-r--r--", "-rw-r--r--", "-rwxr-xr-x"]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}


def test_same_tree_gives_same_bytes(tmp_path: Path) -> None:
    """Times, permissions and the place of the files leave no trace."""
    first, second = tree(tmp_path / "one"), tree(tmp_path / "elsewhere" / "two")
    os.utime(second / "c.txt", (1, 1))
    (second / "c.txt").chmod(0o600)
    archive.write(first, tmp_path / "1.zip", is_run)
    archive.write(second, tmp_path / "2.zip", is_run)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_unpack_restores_permissions_and_replaces_what_was_there(tmp_path: Path) -> None:
    """What is unpacked is the zip's content, the whole of it and nothing else."""
    archive.write(tree(tmp_path / "tree"), tmp_path / "x.zip", is_run)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale").touch()
    archive.unpack(tmp_path / "x.zip", tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert files == {"a/one.py", "b/two.py", "c.txt"}
    assert stat.S_IMODE((tmp_path / "out" / "extensions" / "run").stat().st_mode) == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tree", "x.zip"]
