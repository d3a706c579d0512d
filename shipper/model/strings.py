"""Raw JSON strings, handled without decoding them."""


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
