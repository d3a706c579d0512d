"""What memory goes to: the proportional set size (PSS) of processes by mapping, for when a figure is missed."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.sandbox.procfs import Process

# Of each process; what is left is said in one figure.
MOST_MAPPINGS = 8

# `7f5d1c000000-7f5d1c021000 rw-p 00000000 00:00 0    [heap]`; the name may be missing, and mean anonymous memory.
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)")

# How the kernel shows shared memory without a file: nothing of ours has any but the backlog.
_SHARED = "/dev/zero (deleted)"


def by_mapping(smaps: str) -> dict[str, int]:
    """PSS in bytes by what is mapped, largest first: a library's file name, `heap`, `anonymous`, `backlog`."""
    found: dict[str, int] = {}
    name = ""
    for line in smaps.splitlines():
        mapping = _MAPPING.fullmatch(line)
        if mapping is not None:
            path = mapping[1]
            name = "backlog" if path == _SHARED else path.rpartition("/")[2].strip("[]") or "anonymous"
        elif line.startswith("Pss:"):
            found[name] = found.get(name, 0) + int(line.split()[1]) * 1024
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def profile(processes: Iterable[Process]) -> str:
    """A line for each process: its PSS, and the largest parts of it, in megabytes."""
    lines = []
    for process in processes:
        try:
            parts = list(by_mapping(Path(f"/proc/{process.pid}/smaps").read_text()).items())
        except OSError:
            continue  # it has ended meanwhile
        shown = [f"{name} {size / 1e6:.1f}" for name, size in parts[:MOST_MAPPINGS]]
        shown.append(f"others {sum(size for _, size in parts[MOST_MAPPINGS:]) / 1e6:.1f}")
        lines.append(f"{process.comm:13}{sum(size for _, size in parts) / 1e6:5.1f} MB: {', '.join(shown)}")
    return "\n".join(lines)
