"""Bytes to the harness: the targets that atheris drives, and pytest briefly."""

from collections.abc import Callable

from tests.fuzz import backend, pipeline, spools, surroundings

Target = Callable[[bytes], object]

_SEPARATOR = b"\0\0"


def http(data: bytes) -> None:
    """The first byte says where it is cut."""
    pipeline.http(_pieces(data))


def tcp(data: bytes) -> None:
    """Likewise."""
    pipeline.tcp(_pieces(data))


def telemetry(data: bytes) -> None:
    """A request's body."""
    pipeline.batch(data)


def environ(data: bytes) -> None:
    """Pairs of name and value, each after two zeros; UTF-8 only."""
    parts = data.decode("utf-8", "ignore").replace("\0", "=", 1).split("\0")
    pairs = (part.partition("=")[::2] for part in parts)
    surroundings.environment({name: value for name, value in pairs if name})


def platform(data: bytes) -> None:
    """Answers of the local API."""
    surroundings.answers(_pieces(data))


def event(data: bytes) -> None:
    """What /next is answered with."""
    surroundings.event(data)


def answer(data: bytes) -> None:
    """A backend's answer; the first byte says where it is cut and, by its remainder, which destination reads it."""
    backend.answered(_pieces(data), backend.DESTINATIONS[(data[0] if data else 0) % len(backend.DESTINATIONS)])


def spool(data: bytes) -> None:
    """A file of the spool: as it is, or of frames whose checksums are right, if the first byte is even."""
    if not data or data[0] % 2:
        spools.read(data[1:])
        return
    frames = (part for part in data[1:].split(_SEPARATOR) if len(part) >= spools.HEAD_BYTES)
    spools.read(b"".join(map(spools.framed_by, frames)))


def record(data: bytes) -> None:
    """A record of a function's, from the text in it to what leaves for a backend."""
    pipeline.record(data.decode("utf-8", "replace"))


def _pieces(data: bytes) -> list[bytes]:
    step = data[0] + 1 if data else 1
    return [data[at : at + step] for at in range(1, len(data), step)]


TARGETS: dict[str, Target] = {
    "http": http,
    "tcp": tcp,
    "telemetry": telemetry,
    "environ": environ,
    "platform": platform,
    "event": event,
    "answer": answer,
    "spool": spool,
    "record": record,
}

_EVENT = (
    b'{"time":"2024-05-20T16:29:45.008Z","type":"platform.runtimeDone","record":{"requestId":"1","n":[1e9,"\\ud83d"]}}'
)

# Where a target starts: one valid input of each kind.
SEEDS: dict[str, list[bytes]] = {
    "http": [
        b"\xffPOST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n[%b]" % (len(_EVENT) + 2, _EVENT),
        b"\x20POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n[]\r\n0\r\nX: y\r\n\r\n",
        b"\x40GET / HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    ],
    "tcp": [b"\xff" + _EVENT + b"\n" + _EVENT + b"\n"],
    "telemetry": [b"[%b,%b]" % (_EVENT, _EVENT), b'[1,null,{},[],"x"]'],
    "environ": [b"TAILRACE_DESTINATION=https://u:p@h:1/x?q\0TAILRACE_HEADERS=a=b,c=%41", b"TAILRACE_FLUSH_BUDGET_MS=5"],
    "platform": [
        b"\xffHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"\xffHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ],
    "event": [
        b'{"eventType":"INVOKE","deadlineMs":1000000003000,"requestId":"1","invokedFunctionArn":"a","tracing":{"value":"x"}}',
        b'{"eventType":"SHUTDOWN","deadlineMs":1000000002000,"shutdownReason":"SPINDOWN"}',
        b"[" * 3000,
    ],
    "answer": [
        b"\xffHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"\xf0HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"\x10HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 X\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
        b'\xffHTTP/1.1 400 X\r\nContent-Length: 30\r\n\r\n{"message":"pl4nted-pl4nted!"}',
        b"\xffHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3c\r\n{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}'[:66]
        + b"\r\n0\r\n\r\n",
        b"\xffHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        (
            b'\xfeHTTP/1.1 200 OK\r\nContent-Length: 71\r\n\r\n{"errors":true,"items":[{"create":{"status":201}},'
            b'{"create":{"status":429}}]}'
        ),
    ],
    "spool": [
        b"\x01" + spools.framed(1, 2, 1, b"[]"),
        b"\x00" + b"\x01\x02\x00\x00\x00\x01\x00\x00\x00[]",
        b"\x00" + b"\x02\x08\x00\x00\x00\x01\x00\x00\x00" + (1 << 44).to_bytes(8, "little"),
    ],
    "record": [
        b"panic: panic: a\rrow",
        b'{"level":"error","message":"m","exception":{"type":"E","stack":["a","b"]},"a":[1,[2,{"b":null}]]}',
        b"[ERROR]\t2024-05-20T16:29:45.008Z\t459921b5-681c-4a96-beb0-81e0aa586026\ttext",
        b'Traceback (most recent call last):\r  File "a", line 1\rE: m',
    ],
}
