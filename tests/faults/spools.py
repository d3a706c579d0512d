"""What may lie where the spool's files are to lie: made by others, or by an extension that was not well."""

import os
import shutil
from binascii import crc32
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.contract.frames import HEADER, Kind, first_of
from tests.faults.cell import INVOCATIONS, LINE, Cell, Hook, Scene
from tests.faults.cells import BURST, BURST_S
from tests.faults.hooks import accepting

PLACE = Path(f"/tmp/tailrace-faults-spools-{os.getpid()}")
OTHER = PLACE.with_suffix(".other")
NOBODY = 65534

SETTINGS = {
    "TAILRACE_BACKLOG_BYTES": "2097152",
    "TAILRACE_SPOOL_BYTES": "8388608",
    "TAILRACE_SPOOL_PATH": str(PLACE),
}


def frame(kind: int, payload: bytes, *, length: int | None = None, events: int = 1) -> bytes:
    """A frame whose checksums are right, whatever it says."""
    header = HEADER.pack(len(payload) if length is None else length, kind, events, 1, b"12345678")
    return crc32(header).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little") + header + payload


@contextmanager
def free() -> Iterator[None]:
    """Nothing lies there before, nor after."""
    _remove()
    yield
    _remove()


def _remove() -> None:
    for place in (PLACE, OTHER):
        if place.is_symlink():
            place.unlink()
        shutil.rmtree(place, ignore_errors=True)


def with_file(content: bytes) -> Hook:
    """The first file is this; the backend is down."""

    def start(scene: Scene) -> None:
        scene.keep(free())
        PLACE.mkdir(mode=0o700)
        (PLACE / "1.frames").write_bytes(content)
        scene.backend.refuse()

    return start


def linked(scene: Scene) -> None:
    """The directory is a link to another; the backend is down."""
    scene.keep(free())
    OTHER.mkdir(mode=0o700)
    PLACE.symlink_to(OTHER)
    scene.backend.refuse()


def owned(scene: Scene) -> None:
    """The directory is somebody else's; the backend is down."""
    scene.keep(free())
    PLACE.mkdir(mode=0o777)
    os.chown(PLACE, NOBODY, NOBODY)
    scene.backend.refuse()


def left_alone(scene: Scene, number: int) -> None:
    """Nothing was written there when the backend is well again."""
    if number == INVOCATIONS // 2:
        found = [path.name for place in (PLACE, OTHER) if place.is_dir() for path in place.iterdir()]
        if found:
            scene.problems.append(f"{found} in a directory that is not ours")
        scene.backend.accept()


def nothing_open(scene: Scene) -> None:
    """What was delivered is closed, too: else its room is not given back."""
    for process in scene.env.processes("tailrace"):
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            if ".frames (deleted)" in str(descriptor.readlink()):
                scene.problems.append(f"{process.comm} holds {descriptor.readlink()} open")


EVENTS = tuple(BURST if number == 2 else LINE for number in range(INVOCATIONS))


def crafted(name: str, content: bytes) -> Cell:
    """A spool that finds such a file, and is used."""
    return Cell(
        name=f"spool: {name}",
        settings=SETTINGS,
        events=EVENTS,
        timeout_s=BURST_S,
        start=with_file(content),
        before=accepting(INVOCATIONS // 2),
    )


def forbidden(name: str, start: Hook) -> Cell:
    """A directory that must not be used: what the backlog does not take stays with the platform."""
    return Cell(
        name=f"spool: {name}",
        settings=SETTINGS,
        events=EVENTS,
        timeout_s=BURST_S,
        start=start,
        before=left_alone,
    )


SPOOLS = (
    crafted("a jump to itself", frame(Kind.JUMP, first_of(1).to_bytes(8, "little"))),
    crafted("a header of 2 GB", frame(Kind.BATCH, b"[]", length=2**31 - 1)),
    crafted("4,294,967,295 events in nothing", frame(Kind.BATCH, b"[]", events=2**32 - 1)),
    crafted("a file of zeros", bytes(100_000)),
    crafted("a kind that is none", frame(Kind.BATCH, b"[]").replace(b"\x01", b"\x77", 1)),
    forbidden("the directory is a link", linked),
    forbidden("the directory is somebody else's", owned),
    Cell(
        name="spool: what was delivered is closed",
        settings=SETTINGS,
        events=EVENTS,
        timeout_s=BURST_S,
        start=with_file(b""),
        before=accepting(INVOCATIONS // 2),
        ending=nothing_open,
    ),
)
