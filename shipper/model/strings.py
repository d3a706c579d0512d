"""Raw JSON strings, handled without decoding them."""


def without_newline(raw: bytes) -> bytes:
    r"""A JSON string less one trailing newline.

    A string that ends in `\\n` ends in a backslash and an n: only after an odd number of backslashes is it
    a newline.
    """
    if not raw.endswith(b'\\n"'):
        return raw
    text = raw[:-2]
    backslashes = len(text) - len(text.rstrip(b"\\"))
    return raw[:-3] + b'"' if backslashes % 2 else raw


def may_hold_exception(line: bytes) -> bool:
    """Whether a raw JSON string is worth a closer look: it has several lines, or speaks of errors as runtimes do."""
    return b"\\n" in line[:-3] or b"\\r" in line or b"rrorType" in line


def may_tell_failure(line: bytes) -> bool:
    """Whether a record may tell that its invocation fails."""
    return (
        b"rrorType" in line
        or b"raceback (m" in line
        or b"emory" in line
        or b"signal: killed" in line
        or b" Task timed out" in line
        or (b"\\n" in line[:-3] and (b"tat " in line or b" at " in line or b"goroutine" in line))
    )
