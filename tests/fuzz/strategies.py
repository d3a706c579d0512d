"""What hypothesis sends: valid things, and valid things that were damaged."""

import json
from typing import Any

from hypothesis import strategies as st

# Where readers differ, or give up: bounds of integers and floats, more digits than int() takes, endless exponents.
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400, -(10**30)]),
).map(json.dumps) | st.sampled_from(
    ["0", "-0", "-0.0", "1e999", "-1e-999", "1E+9", "1e" + "9" * 5000, "9" * 5000, "-" + "9" * 20, "0." + "0" * 999]
)

# As text is written by those who may: escapes of everything, halves of pairs, what ends lines elsewhere.
ESCAPES = st.sampled_from(
    [
        *(r"\u0000", r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\uD83D\uD83D\uDE00", r"\\ud83d", r"\\", r"\"", r"\n"),
        *(r"\\n", r"\\\n", r"\t", r"\/", r"\u2028", "\u2028", "\x7f", "\u0085", "\U0001f600", "\ufeff", "}", "]", ","),
        *("{", "[", '},{\\"time\\"', "[ERROR] ", r"[INFO]\t2024-05-20T16:29:45.008Z\t", "tailrace."),
    ]
)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32), max_size=8)
STRINGS = st.lists(ESCAPES | PLAIN, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r\n "])
NAMES = st.sampled_from(
    ['"time"', '"type"', '"record"', '"requestId"', '"level"', '"logger"', '"metrics"', '"ty\\u0070e"']
) | (STRINGS)


def _array(values: list[str], space: str) -> str:
    return "[" + space + ("," + space).join(values) + space + "]"


def _object(members: list[tuple[str, str]], space: str) -> str:
    return "{" + space + ("," + space).join(f"{name}{space}:{value}" for name, value in members) + "}"


def _nested(value: str, depth: int, *, as_object: bool) -> str:
    return '{"a":' * depth + value + "}" * depth if as_object else "[" * depth + value + "]" * depth


SCALARS = st.sampled_from(["null", "true", "false"]) | NUMBERS | STRINGS
DEPTHS = st.sampled_from([15, 20, 21, 40, 300, 2000])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=4), SPACE),
        st.builds(_object, st.lists(st.tuples(NAMES, inner), max_size=4), SPACE),  # names may come twice
    ),
    max_leaves=8,
) | st.builds(_nested, SCALARS, DEPTHS, as_object=st.booleans())

TYPES = st.sampled_from(
    [
        *("function", "extension", "platform.start", "platform.initStart", "platform.runtimeDone", "platform.report"),
        *("platform.logsDropped", "platform.fault", "platform.neverHeardOf", ""),
    ]
).map(json.dumps)
TIMES = st.sampled_from(
    ["2024-05-20T16:29:45.008Z", "2024-13-40T99:99:99Z", "9999-12-31T23:59:59.999999999+23:59", "", "yesterday"]
).map(json.dumps)
RECORDS = JSON | st.sampled_from(
    [
        '{"requestId":"459921b5-681c-4a96-beb0-81e0aa586026","status":"success"}',
        '{"requestId":{}}',
        '{"droppedRecords":1e400,"droppedBytes":"inf"}',
        '{"logger":"tailrace.x"}',
        '"{\\"logger\\":\\"tailrace.x\\"}"',
    ]
)


def _event(members: list[tuple[str, str]], space: str, odd: str) -> str:
    return odd or _object(members, space)


EVENTS = st.builds(
    _event,
    st.tuples(TIMES | JSON, TYPES | JSON, RECORDS, st.lists(st.tuples(NAMES, JSON), max_size=1)).flatmap(
        lambda e: st.permutations([('"time"', e[0]), ('"type"', e[1]), ('"record"', e[2]), *e[3]])
    ),
    SPACE,
    st.just("") | st.just("") | st.just("") | JSON,
)
BATCHES = st.builds(_array, st.lists(EVENTS, max_size=5), SPACE).map(str.encode)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Something with a few bytes changed, doubled, lost or moved."""
    data = draw(whole)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 9)))
        junk = draw(st.binary(max_size=4) | st.sampled_from([b"\xff", b"\0", b"\r\n", b"\n", b'"', b"\\", b"]", b"{"]))
        data = draw(
            st.sampled_from(
                [data[:at] + junk + data[end:], data[:end] + data[at:], data[:at], data[end:] + junk + data[:at]]
            )
        )
    return data


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Something in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[at:end] for at, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


HEADERS = st.lists(
    st.sampled_from(
        [
            *(
                b"Content-Length: 5",
                b"Content-Length: 99999999999999999999999",
                b"Content-Length: +5",
                b"Content-Length:",
            ),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, x"),
            *(b"Expect: 100-continue", b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade"),
            *(b"Upgrade: h2c", b"Host: x", b" folded: x", b"Na me: x", b"X: \xff", b"X: a\0b", b"X:" + b"y" * 9000),
            *(b"Trailer: Content-Length", b"Content-Type: application/json", b"X: y\r\n" * 500 + b"Z: z"),
        ]
    ),
    max_size=3,
)
METHODS = st.sampled_from([b"POST"] * 8 + [b"GET", b"HEAD", b"PUT", b"CONNECT", b"PRI", b"post", b"M-SEARCH"])
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"RTSP/1.0", b""])


def _sized(method: bytes, version: bytes, headers: list[bytes], body: bytes) -> bytes:
    lines = [b"%b / %b" % (method, version), *headers, b"Content-Length: %d" % len(body), b""]
    return b"\r\n".join(lines) + b"\r\n" + body


def _chunked(headers: list[bytes], body: bytes, size: int, extension: bytes, trailer: list[bytes]) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    lines = [b"POST / HTTP/1.1", *headers, b"Transfer-Encoding: chunked", b""]
    return b"\r\n".join(lines) + b"\r\n" + chunks + b"0\r\n" + b"".join(t + b"\r\n" for t in trailer) + b"\r\n"


BODIES = BATCHES | damaged(BATCHES)
REQUESTS = st.one_of(
    st.builds(_sized, METHODS, VERSIONS, HEADERS, BODIES),
    st.builds(_sized, st.just(b"POST"), st.just(b"HTTP/1.1"), st.just([]), BODIES),
    st.builds(
        _chunked,
        HEADERS,
        BODIES,
        st.sampled_from([1, 7, 1000]),
        st.sampled_from([b"", b"", b";a=b", b";" + b"x" * 2000]),
        HEADERS,
    ),
)
CONVERSATIONS = damaged(st.lists(REQUESTS, max_size=4).map(b"".join))
LINES = damaged(
    st.lists(EVENTS.map(lambda e: e.replace("\n", " ").encode()) | st.binary(max_size=9), max_size=8).map(b"\n".join)
)


def bodies_with(**members: Any) -> bytes:
    """A batch of one event with these members."""
    return json.dumps([{"time": "2024-05-20T16:29:45.008Z", "type": "function", "record": "x", **members}]).encode()
