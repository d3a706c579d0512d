"""Makes bytes that are nearly JSON into JSON that any reader takes.

msgspec skips over a `Raw` value without looking at its UTF-8, and refuses lone surrogate escapes, which
JavaScript and Python both write. Either would end in a request that a strict backend refuses.
"""

import re

# Every escape is consumed whole, so that an escaped backslash before `u` is not taken for one.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: right
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|.)",
    re.DOTALL,
)


def has_lone_surrogates(text: bytes) -> bool:
    """Whether `with_valid_escapes` would change anything."""
    return any(found[1] for found in _ESCAPES.finditer(text)) if b"\\u" in text else False


def with_valid_utf8(text: bytes) -> bytes:
    """`text`, each byte that is not UTF-8 replaced by U+FFFD; the same object when there is none."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text


def with_valid_escapes(text: bytes) -> bytes:
    """`text`, each lone surrogate escape replaced by that of U+FFFD."""
    return _ESCAPES.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)
