"""Redaction of a record that is JSON: every text in it, and every number, wherever it stands; names are left alone."""

from collections.abc import Callable

import msgspec

# As deep as records are written structured; what lies deeper is JSON text there, and is treated as one here.
MOST_DEPTH = 20

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode


def redacted(raw: bytes, redact: Callable[[str], str], depth: int = 0) -> bytes:
    """A JSON value with `redact` applied to each text in it; the same object where that changes nothing."""
    mark = raw[:1]
    if mark == b'"':
        text = _text.decode(raw)
        after = redact(text)
        return raw if after == text else _to_json(after)
    if depth >= MOST_DEPTH:
        text = raw.decode("utf-8", "replace")
        after = redact(text)
        return raw if after == text else _to_json(after)
    if mark == b"{":
        members = {name: bytes(value) for name, value in _members.decode(raw).items()}
        changed = {name: redacted(value, redact, depth + 1) for name, value in members.items()}
        if all(changed[name] is value for name, value in members.items()):
            return raw
        return b"{%b}" % b",".join([b"%b:%b" % (_to_json(name), value) for name, value in changed.items()])
    if mark == b"[":
        items = [bytes(item) for item in _items.decode(raw)]
        after_items = [redacted(item, redact, depth + 1) for item in items]
        if all(after is before for after, before in zip(after_items, items, strict=True)):
            return raw
        return b"[%b]" % b",".join(after_items)
    if mark in b"tfn":
        return raw
    text = raw.decode()
    after = redact(text)
    return raw if after == text else _to_json(after)
