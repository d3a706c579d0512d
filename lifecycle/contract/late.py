"""Patterns that are compiled when something is first looked for with them.

Compiling one takes 50 to 300 µs, and most lines are looked at with few of those that a module has. Patterns of modules
are made here, so that loading a module compiles none; nor is `re` loaded before, which with all that it needs takes as
much as the bare interpreter's start.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import AnyStr


def pattern(source: "AnyStr", flags: int = 0) -> "re.Pattern[AnyStr]":
    """A pattern, not yet compiled.

    Args:
        source: The regular expression.
        flags: Of `re`.
    """
    return _Late(source, flags)  # type: ignore[return-value]


class _Late:
    """Behaves as the pattern; what was asked of it once it has itself, so the next time costs nothing."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> object:
        import re

        found: object = getattr(re.compile(self._source, self._flags), name)
        setattr(self, name, found)
        return found
