"""What a backend may answer: whatever it is, it stops nothing, and nothing counts as delivered that was not."""

import ssl
from collections.abc import Callable
from functools import partial

from tests.faults.cell import INVOCATIONS, LINE, LINES, Cell, Hook, PerInvocation, Required, Scene
from tests.faults.hooks import always, first, well_again_at, with_event
from tests.faults.play import MARK
from tests.sandbox import Destination, Partial, Platform, Raw, Renegotiate, Status
from tests.sandbox.backend_faults import Action
from tests.sandbox.http1 import Request

ALL_SIGNALS = {"TAILRACE_SIGNALS": "logs,traces,metrics", "TAILRACE_PLATFORM_LOGS": "0"}
CRASHES = ("worker.exited", "worker.failed", "worker.stuck", "worker.given_up")

UPGRADE = Raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
ENDLESS = Raw(b"HTTP/1.1 200 OK\r\n", more=b"X-Filler: " + b"x" * 1000 + b"\r\n", times=20_000)
PAGE = Status(200, b"<!DOCTYPE html>\n<html><body>Welcome</body></html>", {"Content-Type": "text/html"}, store=False)
BARE_PAGE = Status(200, b"\n<html><body>Welcome</body></html>", store=False)

# More than a kernel takes of it before the server reads: half a megabyte that is not compressed.
LARGE = ({"lines": 10, "bytes": 50_000},) * INVOCATIONS
PLAIN = {"TAILRACE_COMPRESSION": "none"}
SMALL_WINDOW = partial(Destination, receive_bytes=4096)

SENTENCE = "mapper [sum] cannot be changed from type [long]"


def early(code: int, above_bytes: int, **headers: str) -> Hook:
    """Large requests are answered before they were read."""
    return lambda scene: scene.backend.faults.early(Status(code, headers=headers, store=False), above_bytes)


def to_path(suffix: str, action: Action) -> Hook:
    """Requests to one signal's address meet this."""

    def met(request: Request, _body: bytes) -> Action | None:
        return action if request.path.partition("?")[0].endswith(suffix) else None

    return lambda scene: scene.backend.faults.script(met)


def arrived_before_the_end(what: str, count: Callable[[Destination], int], least: int) -> Hook:
    """So many of something have arrived when SHUTDOWN comes; then the backend is well."""

    def ending(scene: Scene) -> None:
        found = count(scene.backend)
        if found < least:
            scene.problems.append(f"{found} {what} before SHUTDOWN, expected {least}")
        scene.backend.faults.clear()

    return ending


def spans(backend: Destination) -> int:
    """Different spans of invocations."""
    return len({span.attributes.get("faas.invocation_id") for span in backend.spans()})


def lines(backend: Destination) -> int:
    """Different lines."""
    return len(backend.unique())


def outage(seconds: float) -> PerInvocation:
    """So long in all, before and between the invocations; the last finds the backend well."""

    def before(scene: Scene, number: int) -> None:
        if number:
            scene.env.idle(seconds / (INVOCATIONS - 1))
        if number == INVOCATIONS - 1:
            scene.backend.faults.clear()

    return before


def refused_for_long(code: int, seconds: int = 75) -> Cell:
    """Everything is refused; so much waits that it is tried every second."""
    return Cell(
        name=f"{code} for everything, {seconds} s",
        is_slow=True,
        settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
        platform=Platform(freeze=False),
        events=({"lines": LINES, "bytes": 3000},) * INVOCATIONS,
        start=always(Status(code)),
        before=outage(seconds),
    )


# A record is given up only where others are taken, and that has been seen to be so.
ONE_REFUSED = Required(lost=1, dropped={"refused": 1})

ANSWERS = (
    Cell(
        name="101 Upgrade, then well",
        start=always(UPGRADE),
        before=well_again_at(INVOCATIONS // 2),
        required=Required(unsaid=CRASHES),
    ),
    Cell(
        name="101 Upgrade for good",
        start=always(UPGRADE),
        required=Required(lost=None, waits=True, unsaid=CRASHES),
    ),
    Cell(
        name="name that IDNA refuses, through a proxy",
        endpoint=lambda _port: "https://a..b:443",
        start=always(Raw(b"HTTP/1.1 200 Connection established\r\n\r\n")),
        settings={"HTTPS_PROXY": "http://127.0.0.1:{port}"},
        required=Required(lost=None, waits=True, unsaid=CRASHES),
    ),
    Cell(
        name="TLS 1.2 renegotiated",
        backend=partial(Destination, tls=True, most_tls=ssl.TLSVersion.TLSv1_2),
        start=always(Renegotiate()),
        required=Required(p50_ms=60.0, unsaid=CRASHES),
    ),
    Cell(
        name="endless header lines, then well",
        is_slow=True,
        start=always(ENDLESS),
        settings={"TAILRACE_RETRY_BASE_MS": "1", "TAILRACE_RETRY_MAX_MS": "1"},
        events=({**LINE, "sleep_s": 0.5},) * INVOCATIONS,
        before=well_again_at(INVOCATIONS - 1),
    ),
    Cell(
        name="500 for one poisonous record",
        is_slow=True,
        start=lambda scene: scene.backend.faults.reject("poison", Status(500)),
        events=tuple(
            {**event, "sleep_s": 0.7} for event in (*with_event(2, lines=1, tag="poison"), *(LINE,) * INVOCATIONS)
        ),
        required=ONE_REFUSED,
    ),
    Cell(
        name="2xx before the request is written",
        backend=SMALL_WINDOW,
        settings=PLAIN,
        events=LARGE,
        start=early(200, 100_000),
        before=well_again_at(INVOCATIONS // 2),
    ),
    Cell(
        name="413 before the body",
        backend=SMALL_WINDOW,
        settings=PLAIN,
        events=LARGE,
        start=early(413, 200_000),
        required=Required(prompt_from=INVOCATIONS // 2),
    ),
    Cell(
        name="413 before the body, TLS",
        backend=partial(SMALL_WINDOW, tls=True),
        settings=PLAIN,
        events=LARGE,
        start=early(413, 200_000, Connection="close"),
        required=Required(prompt_from=INVOCATIONS // 2),
    ),
    Cell(name="page of HTML with 200, then well", start=always(PAGE), before=well_again_at(INVOCATIONS // 2)),
    Cell(
        name="page of HTML that says no type, then well",
        start=always(BARE_PAGE),
        before=well_again_at(INVOCATIONS // 2),
    ),
    Cell(name="200 with nothing", start=always(Status(200)), required=Required(p50_ms=40.0, resent=False)),
    Cell(name="200 with ok", start=always(Status(200, b"ok")), required=Required(p50_ms=40.0, resent=False)),
    Cell(
        name="200 with other JSON",
        start=always(Status(200, b'{"took":3,"errors":false}', {"Content-Type": "application/json"})),
        required=Required(p50_ms=40.0, resent=False),
    ),
    Cell(
        name="partial success, gzipped",
        start=first(1, Partial(1, gzipped=True)),
        required=Required(lost=1, dropped={"rejected": 1}),
    ),
    Cell(
        name="all signals, logs answer 503",
        settings=ALL_SIGNALS,
        start=to_path("/v1/logs", Status(503)),
        ending=arrived_before_the_end("spans", spans, INVOCATIONS - 2),
        required=Required(by_lines=True, has_spans=True),
    ),
    Cell(
        name="all signals, logs answer 401",
        settings=ALL_SIGNALS,
        start=to_path("/v1/logs", Status(401)),
        ending=arrived_before_the_end("spans", spans, INVOCATIONS - 2),
        required=Required(by_lines=True, has_spans=True),
    ),
    Cell(
        name="all signals, traces answer 503",
        settings=ALL_SIGNALS,
        start=to_path("/v1/traces", Status(503)),
        ending=arrived_before_the_end("lines", lines, (INVOCATIONS - 2) * LINES),
        required=Required(by_lines=True, has_spans=True),
    ),
    Cell(
        name="400 with a sentence for one record",
        start=lambda scene: scene.backend.faults.reject(
            "poison", Status(400, f'{{"message":"{SENTENCE} {MARK}-one"}}'.encode())
        ),
        events=with_event(4, lines=1, tag="poison"),
        required=Required(lost=1, dropped={"refused": 1}, says=(SENTENCE,)),
    ),
    Cell(
        name="partial success with a sentence",
        start=first(2, Partial(1, f"{SENTENCE} {MARK}-one")),
        required=Required(lost=2, dropped={"rejected": 2}, says=(SENTENCE,)),
    ),
    refused_for_long(400),
    refused_for_long(500),
)

# Alone, without its like for two routes: one of these is enough.
LONG = (refused_for_long(500, 900),)
