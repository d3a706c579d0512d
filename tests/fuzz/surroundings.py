"""What the platform and whoever configures the function may hand us: what must hold of it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.extensions_api import Answer, AnswerReader, LocalApiError, PlatformEvent, Requests, text_member
from lifecycle.machine.deadlines import LONGEST_TIMEOUT_S, Deadlines
from shipper.auth.static import StaticAuth
from shipper.check import record_of
from shipper.destinations.http import HttpSender, by_status
from shipper.destinations.registry import create
from shipper.transport.pool import Pool
from shipper.transport.quoting import Quoting
from tests.fuzz.pipeline import SILENT
from tests.shipper.support import Waits

IDENTIFIER = "lambda-extension-identifier"


def environment(environ: Mapping[str, str]) -> None:
    """Any environment: settings, what is said of them, the requests and the destination they lead to; none raises."""
    settings = Settings(environ)
    said: list[bytes] = []
    log = Log("fuzz", "debug", settings.secrets(), write=said.append)
    for problem in settings.problems:
        kept = settings.values.get(_attribute(problem.variable))
        default = _default(problem.variable)
        # Of pairs, the good ones are kept, of a timeout meant in seconds what is said, of anything else nothing; a file
        # that gives nothing is still the one that was named.
        are_pairs = isinstance(kept, tuple) and isinstance(default, tuple)
        is_file = problem.variable == "TAILRACE_SETTINGS_FILE"
        assert kept == default or are_pairs or is_file or str(kept) == problem.used
        log.warning("settings.value_ignored", **problem.explained())
    for line in said:
        json.loads(line)
    request = Requests("127.0.0.1:9001").subscribe(settings, 1234)
    head, _, body = request.partition(b"\r\n\r\n")
    assert json.loads(body)["buffering"]["timeoutMs"] == settings.buffer_ms
    assert b"Content-Length: %d" % len(body) in head
    destination = create(settings, Waits(), SILENT)
    for signal, endpoint in destination.endpoints.items():
        made = endpoint.build(record_of(destination, signal, "a line", is_cumulative=False))
        if endpoint.place is None:
            continue
        pool = Pool(endpoint.place.address, None, Waits(), SILENT)
        auth = StaticAuth(endpoint.place.user, endpoint.place.headers)
        sender = HttpSender(endpoint.place, pool, auth, by_status, lambda: Quoting(()), SILENT)
        head, rest, body = sender.written(made)[0].partition(b"\r\n\r\n")
        assert (rest, body) == (b"\r\n\r\n", b""), "a setting ended the head"
        for number, field in enumerate(head.split(b"\r\n")):
            assert not any(byte < 0x20 and byte != 0x09 for byte in field), "a setting broke out of its header"
            assert number == 0 or b":" in field
    destination.close()


def _attribute(variable: str) -> str:
    return next((row.attribute for row in Settings.table() if row.variable == variable), "")


def _default(variable: str) -> object:
    return next((row.default for row in Settings.table() if row.variable == variable), None)


def answers(pieces: Iterable[bytes]) -> list[tuple[int, bytes]]:
    """What the platform may answer: answers, or one error; returns the answers."""
    reader = AnswerReader()
    read: list[tuple[int, bytes]] = []
    with suppress(LocalApiError):
        for piece in (*pieces, b""):
            answer = reader.receive(piece)
            if answer is not None:
                read.append((answer.status, answer.body))
                _used(answer)
    return read


def event(body: bytes) -> PlatformEvent | None:
    """What /next may be answered with: an event, whose deadline is a moment to reckon with, or an error of ours."""
    try:
        read = PlatformEvent(body)
    except LocalApiError:
        return None
    assert all(isinstance(text, str) for text in (read.kind, read.request_id, read.shutdown_reason))
    for moment in (
        Deadlines().of_invocation(read.deadline_epoch_ms, epoch_s=1e9, now=5.0),
        Deadlines().of_shutdown(read.deadline_epoch_ms, epoch_s=1e9, now=5.0),
    ):
        assert 5.0 <= moment <= 5.0 + LONGEST_TIMEOUT_S
    return read


def _used(answer: Answer) -> None:
    """As boot uses it."""
    assert text_member(answer.body, "accountId") is not None
    requests = Requests("127.0.0.1:9001")
    requests.identifier = answer.headers.get(IDENTIFIER, "")
    assert requests.next().count(b"\r\n\r\n") == 1
