"""What /proc says about processes: trees, states, memory, CPU."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The parent of every kernel thread; those have no environment worth a look.
_KTHREADD = 2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One living process, as /proc/PID/stat had it."""

    pid: int
    ppid: int
    session: int
    comm: str
    state: str
    cpu_s: float
    """User and system time, children it has waited for included."""
    started_ticks: int

    @property
    def alive(self) -> bool:
        """Whether it is more than an entry waiting to be reaped."""
        return self.state not in "ZX"


def read(pid: int) -> Process | None:
    """Read one process; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        session=int(fields[3]),
        comm=text[start + 1 : end],
        state=fields[0],
        cpu_s=ticks / _TICKS_PER_S,
        started_ticks=int(fields[19]),
    )


def everything() -> list[Process]:
    """Read every process there is."""
    found = (read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def tree(roots: set[int], mark: bytes = b"") -> list[Process]:
    """Every living process that descends from, or shares a session with, one of the roots.

    Args:
        roots: Process ids that lead sessions of their own.
        mark: An environment entry (`NAME=value`) that also makes a process part of the tree, however it
            was detached; empty for none.
    """
    processes = everything()
    inside = set(roots)
    grown = True
    while grown:
        more = {p.pid for p in processes if p.ppid in inside or p.session in roots} - inside
        grown = bool(more)
        inside |= more
    if mark:
        others = (p for p in processes if p.pid not in inside and p.ppid != _KTHREADD)
        inside |= {p.pid for p in others if _is_marked(p.pid, mark)}
    return [p for p in processes if p.pid in inside and p.alive]


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def cmdline(pid: int) -> str:
    """The command line, arguments joined by blanks; empty when the process has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def pss_bytes(pid: int) -> int:
    """Proportional set size: shared pages count in parts, so a tree's sum is what it really takes."""
    return shares_bytes(pid)[0]


def shares_bytes(pid: int) -> tuple[int, int]:
    """The proportional set size and the resident one, of the same moment; zeros when the process has gone."""
    fields = _fields(pid, "smaps_rollup")
    return fields.get("Pss", 0), fields.get("Rss", 0)


def unmapped_bytes(pids: Iterable[int]) -> int:
    """What processes keep in files of memory (memfd_create(2)) and none of them has mapped: it is in no one's share."""
    files: dict[int, int] = {}
    mapped = 0
    for pid in set(pids):
        mapped += _fields(pid, "smaps_rollup").get("Pss_Shmem", 0)
        with contextlib.suppress(OSError):  # a descriptor may be closed meanwhile, and the process may go
            for path in Path(f"/proc/{pid}/fd").iterdir():
                if str(path.readlink()).startswith("/memfd:"):
                    status = path.stat()
                    files[status.st_ino] = status.st_blocks * 512
    return max(0, sum(files.values()) - mapped)


def highest_bytes(pid: int) -> int:
    """The largest that the resident set ever was; 0 when the process has gone."""
    return _fields(pid, "status").get("VmHWM", 0)


def _fields(pid: int, name: str) -> dict[str, int]:
    """The sizes that a file of a process tells, in bytes."""
    try:
        text = Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {key: int(size) * 1024 for key, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def starved_ms(pid: int, thread: int | None = None) -> float:
    """How long a process's threads, or one of them, were ready to run and had no processor since they began.

    What is measured on a busy machine is late by that. 0 where the kernel does not count it
    (Documentation/scheduler/sched-stats.rst), and for what has gone.
    """
    total_ns = 0
    with contextlib.suppress(OSError):  # the process may go while its threads are listed
        for path in Path(f"/proc/{pid}/task").glob(f"{thread or '*'}/schedstat"):
            with contextlib.suppress(OSError, IndexError):
                total_ns += int(path.read_text().split()[1])
    return total_ns / 1e6
