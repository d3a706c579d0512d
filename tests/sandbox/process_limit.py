"""A moment in which some processes can start no others, as where an account's limit of them is reached."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A limit of each process's own binds nobody who is root: for him it takes a control group.
_ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


class UnavailableError(Exception):
    """There is no means of it here."""


@contextlib.contextmanager
def no_forks(pids: Iterable[int]) -> Iterator[None]:
    """While inside, every fork(2) of these processes fails with EAGAIN.

    Raises:
        UnavailableError: This is root's process, and no control group for processes can be made.
    """
    if os.geteuid() != 0:
        with _none_allowed(list(pids)):
            yield
        return
    with _group() as group:
        _move(pids, group)
        (group / "pids.max").write_text("0")
        yield
        (group / "pids.max").write_text("max")
        _move(map(int, (group / "cgroup.procs").read_text().split()), group.parent)


@contextlib.contextmanager
def _none_allowed(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_NPROC)
            resource.prlimit(pid, resource.RLIMIT_NPROC, (0, hard))
    yield
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NPROC, resource.getrlimit(resource.RLIMIT_NPROC))


@contextlib.contextmanager
def _group() -> Iterator[Path]:
    """A control group with a limit of processes, at the root of a hierarchy that has them."""
    for root in _ROOTS:
        group = root / f"tailrace-sandbox-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "pids.max").exists():
                yield group
                return
        finally:
            group.rmdir()
    raise UnavailableError("root's processes are limited by a control group, and none with pids.max can be made")


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))
