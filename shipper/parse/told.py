"""What a line tells of an exception, be it text or JSON."""

import msgspec

from shipper.parse.exceptions import Told, in_text
from shipper.parse.text_formats import told

_text = msgspec.json.Decoder(str)
_MOST_TEXT = 65_536


def exception_in(raw: bytes) -> tuple[str, Told | None, str]:
    """A line's text, the exception it tells, and the request id it names.

    Args:
        raw: A raw JSON string or object.
    """
    from shipper.parse.json_lines import line_of, members_of

    if raw[:1] == b"{" or raw[:2] == b'"{':
        members = members_of(raw)
        if members is not None:
            line = line_of(members)
            return raw[:_MOST_TEXT].decode("utf-8", "replace"), line.exception, line.request_id
    if raw[:1] != b'"':
        return "", None, ""
    text = _text.decode(raw)
    return text, in_text(text), told(raw)[1]
