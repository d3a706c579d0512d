"""Connections that only look alive, addresses that never answer, and TLS that cannot be had."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import gettempdir

from tests.faults.answers import CRASHES
from tests.faults.cell import INVOCATIONS, LATE_MS, LINES, Cell, PerInvocation, Required, Scene
from tests.faults.hooks import always, well_again
from tests.faults.play import USER
from tests.sandbox import BlackHole, Destination, Hang

# Listens on the backend's port and takes no connection. The resolver prefers neither to the other.
DEAD, ALIVE = "127.0.0.2", "127.0.0.3"
NAME_OF_TWO = "backend.test"
TWO_ADDRESSES = (f"{DEAD} {NAME_OF_TWO}", f"{ALIVE} {NAME_OF_TWO}")


def black_hole(scene: Scene) -> None:
    """The first address of the backend's name swallows what is sent to it."""
    scene.keep(BlackHole(DEAD, int(scene.backend.url.rpartition(":")[2])))


def lost_before(*at: int) -> PerInvocation:
    """The network loses the connections there are, without a word to either side."""

    def before(scene: Scene, number: int) -> None:
        if number in at:
            scene.backend.leave_alone()

    return before


def lost(scene: Scene) -> None:
    """Likewise before SHUTDOWN."""
    scene.backend.leave_alone()


def said(*texts: str) -> Required:
    """Nothing arrives, and a warning says once how far it came, as does the last line."""
    return Required(lost=None, waits=True, late_p50_ms=LATE_MS, says=texts, unsaid=('"left":{"deadline"', *CRASHES))


# Where the extension looks for libraries first, as it does in a function's own lib/.
LIBRARIES = Path(gettempdir(), f"tailrace-faults-libraries-{os.getpid()}")


@contextmanager
def broken_libraries() -> Iterator[None]:
    """No library there, but a file of the name of each that TLS takes.

    Raises:
        LookupError: This Python has it built in.
    """
    mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines()}
    names = [name for name in mapped if name.startswith("libssl")]
    if not names:
        raise LookupError(f"{ssl.OPENSSL_VERSION} is no library of its own here")
    LIBRARIES.mkdir()
    for name in names:
        (LIBRARIES / name).write_text("this is no library")
    yield
    mended()


def mended() -> None:
    """Nothing is found there any more."""
    for library in LIBRARIES.glob("*"):
        library.unlink()
    if LIBRARIES.exists():
        LIBRARIES.rmdir()


def without_libssl(scene: Scene) -> None:
    """TLS cannot be loaded."""
    try:
        scene.keep(broken_libraries())
    except LookupError as exc:
        scene.problems.append(str(exc))


def with_libssl(_scene: Scene, number: int) -> None:
    """It can, from the middle on: nothing that failed before is in the way."""
    if number == INVOCATIONS // 2:
        mended()


CONNECTIONS = (
    Cell(name="connection dead without FIN", before=lost_before(3, 6), required=Required(p50_ms=40.0, prompt_from=0)),
    Cell(
        name="connection dead without FIN at shutdown", is_default=True, ending=lost, required=Required(by_lines=True)
    ),
    Cell(
        name="all signals, connection dead without FIN at shutdown",
        settings={"TAILRACE_SIGNALS": "logs,traces,metrics", "TAILRACE_FLUSH": "end", "TAILRACE_PLATFORM_LOGS": "0"},
        ending=lost,
        required=Required(by_lines=True, has_spans=True),
    ),
    Cell(
        name="two addresses, the first a black hole",
        backend=partial(Destination, host=ALIVE),
        hosts=TWO_ADDRESSES,
        endpoint=lambda port: f"http://{USER}@{NAME_OF_TWO}:{port}",
        start=black_hole,
        required=Required(resent=False, p50_ms=40.0),
    ),
    Cell(
        name="two addresses, the first a black hole, default",
        is_default=True,
        backend=partial(Destination, host=ALIVE),
        hosts=TWO_ADDRESSES,
        endpoint=lambda port: f"http://{USER}@{NAME_OF_TWO}:{port}",
        start=black_hole,
        required=Required(by_lines=True, resent=False, has_spans=True),
    ),
    Cell(
        name="address that swallows everything",
        endpoint=lambda port: f"http://{DEAD}:{port}",
        start=black_hole,
        required=said(f'"detail":"connecting to {DEAD}:'),
    ),
    Cell(
        name="address that swallows everything, default",
        is_slow=True,
        is_default=True,
        timeout_s=10.0,
        events=({"lines": LINES, "sleep_s": 1.0},) * (INVOCATIONS // 2),
        endpoint=lambda port: f"http://{DEAD}:{port}",
        start=black_hole,
        required=said(f'"signal":"logs","reason":"timeout","detail":"connecting to {DEAD}:'),
    ),
    Cell(
        name="TLS handshake that hangs is said",
        endpoint=lambda port: f"https://127.0.0.1:{port}",
        required=said('"detail":"handshake with 127.0.0.1:'),
    ),
    Cell(
        name="libssl that cannot be loaded, then can",
        is_slow=True,
        backend=partial(Destination, tls=True),
        settings={"LD_LIBRARY_PATH": str(LIBRARIES)},
        start=without_libssl,
        before=with_libssl,
        required=Required(unsaid=CRASHES),
    ),
    Cell(
        name="libssl that cannot be loaded, for good",
        is_slow=True,
        backend=partial(Destination, tls=True),
        settings={"LD_LIBRARY_PATH": str(LIBRARIES)},
        start=without_libssl,
        required=said('"reason":"tls","detail":'),
    ),
    Cell(
        name="answer that never comes is said",
        start=always(Hang()),
        required=said('"detail":"waiting for the answer of 127.0.0.1:'),
    ),
    Cell(
        name="hanging until shutdown is said",
        start=always(Hang()),
        ending=well_again,
        required=Required(late_p50_ms=LATE_MS, says=('"detail":"waiting for the answer of 127.0.0.1:',)),
    ),
)
