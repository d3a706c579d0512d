"""Lines in a file."""

import errno
import os
import select
import stat
from pathlib import Path

import pytest

from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations.file import FileSender
from tests.shipper.support import request_of


def test_a_file_is_appended_to_and_its_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.ndjson"
    for _ in range(2):
        file = FileSender(str(path))
        assert [file.send(request_of(b"1\n")), file.send(request_of(b"2\n"))] == [DONE, DONE]
        file.close()
    assert path.read_text() == "1\n2\n1\n2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_torn_by_a_killed_process_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b'{"torn')
    file = FileSender(str(path))
    file.send(request_of(b"1\n"))
    file.close()
    assert path.read_bytes() == b'{"torn\n1\n'


def test_a_full_disk_leaves_no_half_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of it is cut off, and it is tried again."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    file = FileSender(str(path))
    write = os.write
    calls: list[int] = []

    def full(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:3])

    monkeypatch.setattr(os, "write", full)
    outcome = file.send(request_of(b"1234567\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "file_enospc")
    assert path.read_bytes() == b"before\n"
    monkeypatch.undo()
    assert file.send(request_of(b"1234567\n")) == DONE
    assert path.read_bytes() == b"before\n1234567\n"
    file.close()


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = FileSender(str(path))
    file.send(request_of(b"1\n"))
    path.unlink()
    assert file.send(request_of(b"2\n")).reason == "file_enoent"
    assert file.send(request_of(b"2\n")) == DONE
    assert path.read_bytes() == b"2\n"
    file.close()


def test_a_fifo_nobody_reads_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    file = FileSender(str(tmp_path / "fifo"))
    assert file.send(request_of(b"x" * 1_000_000 + b"\n")).reason == "file_eagain"
    assert select.select([reader], [], [], 0)[0]
    os.close(reader)
    file.close()


def test_a_directory_in_the_files_place_is_said(tmp_path: Path) -> None:
    outcome = FileSender(str(tmp_path)).send(request_of(b"x\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "file_eisdir")
