"""Patterns that are compiled when something is first looked for with them.

Compiling one takes 50 to 300 µs, and most lines are looked at with few of those that a module has. Patterns of modules
are made here, so that loading a module compiles none; nor is `re` loaded before, which with all that it needs takes as
much as the bare interpreter's start. In the layer it is not loaded for them at all: its bytecode has what each pattern
is compiled to (`tools/bytecode.py`).
"""

import _sre  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import AnyStr

    # A pattern's source; its flags; its code, as the engine's 32-bit words; the names of its groups, None for the
    # whole and for one without.
    Compiled = tuple[str | bytes, int, bytes, tuple[str | None, ...]]

_compiled: "dict[str | bytes, Compiled]" = {}


def know(magic: int, patterns: "tuple[Compiled, ...]") -> None:
    """Takes what was compiled ahead; an engine of another make would not understand it.

    Args:
        magic: Of the engine that it is for.
        patterns: The patterns.
    """
    if magic == _sre.MAGIC:
        _compiled.update({pattern[0]: pattern for pattern in patterns})


def pattern(source: "AnyStr") -> "re.Pattern[AnyStr]":
    """A pattern, not yet compiled.

    Args:
        source: The regular expression, with its flags, if any, at its beginning: `(?s)`.
    """
    return _Late(source)  # type: ignore[return-value]


class _Late:
    """Behaves as the pattern; what was asked of it once it has itself, so the next time costs nothing."""

    def __init__(self, source: str | bytes) -> None:
        self.pattern = source

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._made(), name)
        setattr(self, name, found)
        return found

    def _made(self) -> object:
        ahead = _compiled.get(self.pattern)
        if ahead is None:
            import re

            return re.compile(self.pattern)
        source, flags, code, names = ahead
        words = memoryview(code).cast("I").tolist()
        numbers = {name: number for number, name in enumerate(names) if name}
        return _sre.compile(source, flags, words, len(names) - 1, numbers, names)
