"""What memory goes to, for when a figure is missed.

The proportional set size (PSS) of processes by mapping, with what of it nobody else has: a page that was shared when a
worker was forked is written to by the first reference that is counted in it. And what modules allocate as they are
loaded, which is most of what a process has before it is sent anything.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.sandbox.procfs import Process

# Of each process; what is left is said in one figure.
MOST_MAPPINGS = 8

# Of each process.
MOST_MODULES = 12

# `7f5d1c000000-7f5d1c021000 rw-p 00000000 00:00 0    [heap]`; the name may be missing, and mean anonymous memory.
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)")

# How the kernel shows the backlog: as a file of memory or, where there are none, as shared memory without a file.
_BACKLOG = ("/memfd:tailrace-backlog (deleted)", "/dev/zero (deleted)")


def by_mapping(smaps: str) -> dict[str, int]:
    """PSS in bytes by what is mapped, largest first: a library's file name, `heap`, `anonymous`, `backlog`."""
    return _added_up(smaps, ("Pss:",))


def of_its_own(smaps: str) -> int:
    """Bytes that no other process has: what would be free if this one ended."""
    return sum(_added_up(smaps, ("Private_Clean:", "Private_Dirty:")).values())


def _added_up(smaps: str, fields: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    name = ""
    for line in smaps.splitlines():
        mapping = _MAPPING.fullmatch(line)
        if mapping is not None:
            path = mapping[1]
            name = "backlog" if path in _BACKLOG else path.rpartition("/")[2].strip("[]") or "anonymous"
        elif line.startswith(fields):
            found[name] = found.get(name, 0) + int(line.split()[1]) * 1024
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def profile(processes: Iterable[Process]) -> str:
    """A line for each process: its PSS, what of it is its own, and the largest parts of it, in megabytes."""
    lines = []
    for process in processes:
        try:
            smaps = Path(f"/proc/{process.pid}/smaps").read_text()
        except OSError:
            continue  # it has ended meanwhile
        parts = list(by_mapping(smaps).items())
        shown = [f"{name} {size / 1e6:.1f}" for name, size in parts[:MOST_MAPPINGS]]
        shown.append(f"others {sum(size for _, size in parts[MOST_MAPPINGS:]) / 1e6:.1f}")
        whole, own = sum(size for _, size in parts) / 1e6, of_its_own(smaps) / 1e6
        lines.append(f"{process.comm:13}{whole:5.1f} MB, {own:.1f} its own: {', '.join(shown)}")
    return "\n".join(lines)


# Every import goes through it, also of a package's module; what it returns is not looked at.
_WATCHING = """
import _frozen_importlib, sys, tracemalloc
sys.path.insert(0, sys.argv[1])
real, within, found = _frozen_importlib._find_and_load_unlocked, [0], []
def watched(name, *rest):
    before = tracemalloc.get_traced_memory()[0]
    within.append(0)
    try:
        return real(name, *rest)
    finally:
        whole = tracemalloc.get_traced_memory()[0] - before
        own = whole - within.pop()
        within[-1] += whole
        found.append((own, whole, name))
_frozen_importlib._find_and_load_unlocked = watched
tracemalloc.start()
"""
_TELLING = """
for own, whole, name in found: print(own, whole, name)
"""


def by_module(root: Path, code: str, after: str = "") -> list[tuple[int, int, str]]:
    """What modules allocate as they are loaded, largest first.

    Args:
        root: Where they lie.
        code: Loads them.
        after: Is run before, and what that loads is not counted.

    Returns:
        For each its own bytes, those with what it loads, and its name.
    """
    program = f"{_WATCHING}{after}\nfound.clear()\n{code}{_TELLING}"
    command = [sys.executable, "-IBS", "-c", program, str(root)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return sorted(((int(own), int(whole), name) for own, whole, name in rows), reverse=True)


_FOUND = "from lifecycle import finder; finder.install(sys.path[0]); found.clear()"
_BOOTED = f"{_FOUND}; from lifecycle.contract import lean; lean.load()"
_SETTINGS = "from lifecycle.contract.settings import Settings; s = Settings({'TAILRACE_DESTINATION': '%s'})"
_SHIPPER = f"from shipper import worker; {_SETTINGS}; worker.load([s])"


def largest_modules(root: Path) -> str:
    """The modules that take most, for each process: what it has beside what it had when it was forked.

    Args:
        root: The layer's library.
    """
    supervisor = f"{_BOOTED}; import lifecycle.supervisor"
    plain, tls = (_SHIPPER % f"otlp+{scheme}://127.0.0.1:9" for scheme in ("http", "https"))
    shares = (
        ("supervisor", "", supervisor),
        ("collector", supervisor, "import collector.server"),
        ("shipper", supervisor, plain),
        ("shipper over TLS, beside that", f"{supervisor}\n{plain}", f"{tls}; worker.warm_connections(s)"),
    )
    lines = []
    for process, after, code in shares:
        rows = by_module(root, code, after)
        lines.append(f"{process}, {sum(own for own, *_ in rows) / 1e3:,.0f} KB in {len(rows)} modules:")
        lines += [f"{own / 1e3:7.0f} {whole / 1e3:7.0f} {name}" for own, whole, name in rows[:MOST_MODULES]]
    return "\n".join(lines)
