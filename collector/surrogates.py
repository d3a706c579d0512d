r"""Lone UTF-16 surrogates in JSON escapes, made readable.

`"\ud83d"` without its second half is JSON by the grammar (RFC 8259, 8.2), and a function gets there by cutting
a text in the middle of an emoji; msgspec refuses it, here and in the shipper, and with it the whole batch.
Only then is this module asked: it puts U+FFFD, which is as long, in the place of each lone half, as every
decoder that does not refuse would.
"""

from collector.messages import Body

_ESCAPE_BYTES = 6
_REPLACEMENT = rb"\ufffd"
_HIGH = range(0xD800, 0xDC00)
_LOW = range(0xDC00, 0xE000)


def mended(body: Body) -> bytes | None:
    """`body` with every lone surrogate escape replaced; None when it has none."""
    out: bytearray | None = None
    at = body.find(b"\\")
    while at >= 0:
        unit = _unit(body, at)
        step = _ESCAPE_BYTES
        if unit in _HIGH and _unit(body, at + _ESCAPE_BYTES) in _LOW:
            step = 2 * _ESCAPE_BYTES
        elif unit in _HIGH or unit in _LOW:
            out = bytearray(body) if out is None else out
            out[at : at + _ESCAPE_BYTES] = _REPLACEMENT
        elif unit < 0:
            step = 2
        at = body.find(b"\\", at + step)
    return None if out is None else bytes(out)


def _unit(body: Body, at: int) -> int:
    r"""The UTF-16 code unit that the `\uXXXX` at `at` stands for; -1 when there is none."""
    escape = body[at : at + _ESCAPE_BYTES]
    if len(escape) < _ESCAPE_BYTES or not escape.startswith(b"\\u") or not escape[2:].isalnum():
        return -1
    try:
        return int(escape[2:], 16)  # noqa: FURB166 - int() does not know this prefix
    except ValueError:
        return -1
