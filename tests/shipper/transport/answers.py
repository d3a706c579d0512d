"""What servers may send: answers that are right, nearly right, and none at all, in pieces."""

from hypothesis import strategies as st

_STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 x\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.0 204\r\n",
        b"HTTP/1.1 999 \xff\r\n",
        b"HTTP/2 200\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"",
    ]
)
_HEADERS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 3\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: identity\r\n",
            b"Connection: upgrade\r\nUpgrade: h2c\r\n",
            b"Connection: close\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Retry-After: soon\r\n",
            b": nameless\r\n",
            b"A" * 70_000 + b"\r\n",
        ]
    )
    | st.binary(max_size=20),
    max_size=4,
).map(b"".join)
_BODIES = st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"ffffffff\r\n", b"<html>"]) | st.binary(max_size=40)


@st.composite
def answers(draw: st.DrawFn) -> list[bytes]:
    """The pieces of what is sent on one connection: the first before the request is read."""
    sent = draw(_STATUS_LINES) + draw(_HEADERS) + draw(st.sampled_from([b"\r\n", b"\n", b""])) + draw(_BODIES)
    at = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    pieces = [sent[low:high] for low, high in zip([0, *at], [*at, len(sent)], strict=True)]
    return [b"", *pieces] if draw(st.booleans()) else pieces
