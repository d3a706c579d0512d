r"""Redaction of what a reader would see: of every text, name and number, however it is escaped and nested in JSON.

A text is looked at as it stands. If it is JSON, each name, text and number in it is looked at as it reads decoded; if
it is not, what stands between its quotes is, its escapes resolved: so `bob\u0040example.com` and `abcd\/efgh` are found
wherever they stand, also behind a prefix, in JSON that was cut, and in what some library makes of NaN. JSON within a
string is looked at likewise, four levels of it; a text that has more below that is blanked whole, and noted.

Base64, percent-encoding and compression are not looked into. Source: RFC 8259, section 7.
"""

import msgspec

from lifecycle.contract import late
from lifecycle.contract.json_text import with_valid_escapes
from shipper.rules.patterns import BLANK, Pattern, Patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable
    from typing import Any

# Levels of JSON within a string that are looked into.
MOST_LEVELS = 4

# What is longer is not parsed to find out whether it is JSON: looking between its quotes finds the same in it.
_MOST_PARSED = 262_144

# Names that are not changed are remembered: they repeat from record to record.
_MOST_NAMES = 512
_MOST_NAME = 64

# Deeper values are none of the platform's: decoded, Python's own limit would end them.
_MOST_DEPTH = 50

_SPACE = "\ufeff \t\r\n"

_ESCAPE = late.pattern(
    r'\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))'
)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NUMBER = late.pattern(r"-?\d[\d.eE+-]*")
_NAME = late.pattern(r'"([^"\\]*)"[ \t\r\n]*:')
_COLON = late.pattern(r"[ \t\r\n]*:")

_anything = msgspec.json.Decoder(msgspec.Raw)
_text = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode


class Redaction:
    """The patterns of a redaction, applied.

    Each method raises `patterns.TooSlowError` where a pattern does not say in time what is to be replaced: then nothing
    of what was given may leave.

    Args:
        patterns: Runs them.
        redactions: What is replaced by what.

    Attributes:
        too_deep: Texts that were blanked for what may lie in them too deep to be seen.
    """

    def __init__(self, patterns: Patterns, redactions: list[Pattern]) -> None:
        self._patterns = patterns
        self._all = redactions
        self._anchored = [pattern for pattern in redactions if pattern.is_anchored]
        self._same_names: set[str] = set()
        self.too_deep = 0

    def text(self, text: str, level: int = 0) -> str:
        """A text as a reader may see it; the same object where nothing is to be replaced.

        Args:
            text: Decoded; what is JSON in it is still encoded.
            level: How deep in JSON within strings it was found.
        """
        hits = self._hits(text)
        has_escapes = "\\" in text
        if not hits and not has_escapes:
            return text
        start = _json_start(text) if has_escapes or '"' in text else None
        if start is None:
            found = self._replaced(text)
            if has_escapes or self._anchored:
                found = self._between_quotes(found, level)
            return self._across(found, is_seen=True)
        if level == MOST_LEVELS:
            return self._blank()
        if start:
            head, rest = text[:start], text[start:]
            inside = self._in_json(rest, level + 1, hits)
            after = self._across(self._between_quotes(head, level) + inside, is_seen=False)
            return text if after == text else after
        inside = self._in_json(text, level + 1, hits)
        return self._across(inside, is_seen=not hits and inside is text)

    def json(self, raw: bytes) -> bytes:
        """A JSON value, valid and UTF-8: each name, text and number in it; the same object where none is replaced.

        What a pattern finds across several of them is replaced, too. What is left may be JSON no more; then it is
        written as a text.
        """
        text = raw.decode("utf-8", "replace")
        if raw[:1] == b'"':
            content = _decoded(text) if "\\" in text else text[1:-1]
            del text
            found = self.text(content)
            return raw if found is content or found == content else _to_json(found)
        hits = self._hits(text)
        if not hits and "\\" not in text:
            return raw
        after = self._in_json(text, 0, hits)
        across = self._across(after, is_seen=not hits and after is text) if raw[:1] in (b"{", b"[") else after
        if across is text:
            return raw
        return across.encode() if across is after or _is_json(across) else _to_json(across)

    @property
    def is_anchored(self) -> bool:
        """Whether something may be found in a part of a text that is not found in the whole."""
        return bool(self._anchored)

    def value(self, value: "Any", depth: int = 0) -> "Any":
        """A value of an attribute: text, a number, a list or a mapping of them; ours or decoded from JSON."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            text = str(value)
            after = self.text(text)
            return value if after == text else after
        if depth >= _MOST_DEPTH:
            return self._blank()
        if isinstance(value, dict):
            return dict(self.pairs(value.items(), depth + 1))
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        return self._blank()  # nobody knows what it will be written as

    def pairs(self, pairs: "Iterable[tuple[str, Any]]", depth: int = 0) -> "list[tuple[str, Any]]":
        """Attributes, names and values; two names that read alike afterwards are told apart by a number."""
        found = list(pairs)
        names = _Names(_to_json(dict.fromkeys((name for name, _ in found), 0)).decode())
        return [(self._name(name, names), self.value(value, depth)) for name, value in found]

    def names(self, names: list[str]) -> list[str]:
        """Names of attributes that stand side by side, as `pairs` has them."""
        others = _Names(_to_json(dict.fromkeys(names, 0)).decode())
        return [self._name(name, others) for name in names]

    def _hits(self, text: str) -> list[Pattern]:
        """The patterns that may find something in a text as it stands, or in a part of it that has no escapes."""
        return [one for one in self._all if one.is_anchored or self._patterns.redacted(one, text) != text]

    def _replaced(self, text: str, patterns: list[Pattern] | None = None) -> str:
        """What patterns, all unless given, find in a text as it stands, replaced; the same object where that is nil."""
        after = text
        for pattern in self._all if patterns is None else patterns:
            after = self._patterns.redacted(pattern, after)
        return text if after == text else after

    def _across(self, text: str, *, is_seen: bool) -> str:
        """What patterns find that look at more than one name or text of JSON: a key by its name, say, with escapes.

        Args:
            text: Of what was found in each of them, nothing is left.
            is_seen: As it stands nothing is found in it.
        """
        found = text if is_seen else self._replaced(text)
        # Nearly all escapes are of quotes and lines, which JSON cannot have as they are.
        plain = _ESCAPE.sub(_plain, found) if "\\u" in found or "\\/" in found else found
        again = self._replaced(plain) if plain != found else plain
        return found if again == plain else again

    def _in_json(self, text: str, level: int, hits: list[Pattern]) -> str:
        """Valid JSON, what stands in it looked at as it reads decoded.

        Args:
            text: The JSON.
            level: How deep in JSON within strings its texts are.
            hits: What may be found in those without escapes.
        """
        edits: list[tuple[int, int, str]] = []
        names = _Names(text)
        at, size = 0, len(text)
        while at < size:
            quote = text.find('"', at)
            until = size if quote < 0 else quote
            if hits and until - at > 1:
                self._numbers(text, at, until, hits, edits)
            if quote < 0:
                break
            at = _string_end(text, quote + 1)
            is_plain = text.find("\\", quote, at) < 0
            if is_plain and not hits:
                continue
            # A text may be large: it is not to be in memory more often than must be.
            content = text[quote + 1 : at - 1] if is_plain else _decoded(text[quote:at])
            if _COLON.match(text, at):
                after = self._name(content, names)
            else:
                after = self._replaced(content, hits) if is_plain and not self._anchored else self.text(content, level)
            if after is not content and after != content:
                edits.append((quote, at, _to_json(after).decode()))
        return _edited(text, edits)

    def _numbers(self, text: str, at: int, until: int, hits: list[Pattern], edits: list[tuple[int, int, str]]) -> None:
        for found in _NUMBER.finditer(text, at, until):
            after = self._replaced(found[0], hits)
            if after is not found[0] and after != found[0]:
                edits.append((found.start(), found.end(), _to_json(after).decode()))

    def _between_quotes(self, text: str, level: int) -> str:
        """A text that is no JSON as a whole: what stands between its quotes, escapes resolved."""
        if "\\" not in text and not self._anchored:
            return text
        edits: list[tuple[int, int, str]] = []
        at, size = 0, len(text)
        while at <= size:
            end = _string_end(text, at)
            is_quoted = end <= size
            until = end - 1 if is_quoted else size
            part = text[at:until]
            after = part
            if "\\" in part:
                content = _unescaped(part)
                if content != part:
                    if level == MOST_LEVELS:
                        return self._blank()
                    found = self.text(content, level + 1)
                    after = part if found == content else _to_json(found).decode()[1:-1]
            for pattern in self._anchored if part and (at or is_quoted) else ():
                after = self._patterns.redacted(pattern, after)
            if after != part:
                edits.append((at, until, after))
            at = end
        return _edited(text, edits)

    def _name(self, name: str, names: "_Names") -> str:
        """A name, unlike those of others that it stands beside."""
        if name in self._same_names:
            return name
        known = names.changed.get(name)
        if known is not None:
            return known
        after = self.text(name)
        if after != name:
            return names.change(name, after)
        if len(self._same_names) < _MOST_NAMES and len(name) <= _MOST_NAME:
            self._same_names.add(name)
        return name

    def _blank(self) -> str:
        self.too_deep += 1
        return BLANK


class _Names:
    """The names of one record.

    Args:
        text: Where they stand, as JSON.

    Attributes:
        changed: What those that were changed became.
    """

    def __init__(self, text: str) -> None:
        self.changed: dict[str, str] = {}
        self._text = text
        self._taken: set[str] | None = None
        self._counts: dict[str, int] = {}

    def change(self, name: str, after: str) -> str:
        """What a name becomes that reads `after`: with a number, if another one is so called."""
        if self._taken is None:
            self._taken = {found[1] for found in _NAME.finditer(self._text)} - {name}
        unlike, count = after, self._counts.get(after, 1)
        while unlike in self._taken:
            count += 1
            unlike = f"{after}_{count}"
        self._counts[after] = count
        self._taken.add(unlike)
        self.changed[name] = unlike
        return unlike


def _json_start(text: str) -> int | None:
    """Where the JSON begins that a text is, or ends with; None where it does not, or is too long to find out."""
    if len(text) > _MOST_PARSED:
        return None
    end = text.rstrip(_SPACE)
    if end[-1:] not in ("}", "]"):
        return None
    first = len(end) - len(end.lstrip(_SPACE))
    places = [first] if end[first] in "{[" else []
    brace = end.find("{")
    places += [brace] if brace > first else []
    return next((at for at in places if _is_json(end[at:])), None)


def _is_json(text: str) -> bool:
    """Whether a text is JSON, or read as such: NaN and halves of surrogate pairs are mended where it is read."""
    try:
        _anything.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        pass
    else:
        return True
    if "NaN" not in text and "Infinity" not in text and "\\u" not in text:
        return False
    from shipper.parse.json_lines import with_finite_numbers

    try:
        _anything.decode(with_finite_numbers(with_valid_escapes(text.encode())))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return True


def _string_end(text: str, at: int) -> int:
    """Just past the quote that ends a string whose content begins at `at`; past the text's own end without one."""
    while (quote := text.find('"', at)) >= 0:
        last = quote
        while last > at and text[last - 1] == "\\":
            last -= 1
        at = quote + 1
        if (quote - last) % 2 == 0:
            return at
    return len(text) + 1


def _decoded(literal: str) -> str:
    """What a JSON string says."""
    try:
        return _text.decode(literal)
    except (msgspec.MsgspecError, UnicodeError):  # half of a surrogate pair, which every reader shows as U+FFFD
        return _unescaped(literal[1:-1])


def _unescaped(text: str) -> str:
    """A text, each of JSON's escapes in it resolved; other backslashes stay."""
    return _ESCAPE.sub(_resolved, text)


def _resolved(found: "re.Match[str]") -> str:
    high, low, unit, letter = found.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    code = int(unit, 16)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)  # noqa: PLR2004 - surrogates (RFC 8259, 8.2)


def _plain(found: "re.Match[str]") -> str:
    """What an escape stands for, if JSON may have that as it is."""
    text = _resolved(found)
    return found[0] if text in '"\\\ufffd' or text < " " else text


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """The text with some pieces replaced; the same object without any."""
    if not edits:
        return text
    pieces: list[str] = []
    at = 0
    for start, end, after in edits:
        pieces += (text[at:start], after)
        at = end
    pieces.append(text[at:])
    return "".join(pieces)
