"""Bytes to the harness: the targets that atheris drives, and pytest briefly."""

from collections.abc import Callable

from tests.fuzz import backends, pipeline, surroundings

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


def backend(data: bytes) -> None:
    """Answers of a backend; the first two bytes say where they are cut, and how the connection ends."""
    backends.answers(_pieces(data[1:]), is_closed=bool(data[:1] and data[0] & 1))


def _pieces(data: bytes) -> list[bytes]:
    step = data[0] + 1 if data else 1
    return [data[at : at + step] for at in range(1, len(data), step)]


TARGETS: dict[str, Target] = {
    "http": http,
    "tcp": tcp,
    "telemetry": telemetry,
    "environ": environ,
    "platform": platform,
    "backend": backend,
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
    "backend": [
        b"\x01\xffHTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b'{"partialSuccess":{"rejectedSpans":"7"}}',
        b"\x00\x05HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\n",
        b"\x01\xffHTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n\x1f\x8b",
        b'\x01\xffHTTP/1.1 200 OK\r\n\r\n{"errors":true,"items":[{"create":{"status":429,"error":{"type":"x"}}}]}',
        b"\x01\xffHTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
}
