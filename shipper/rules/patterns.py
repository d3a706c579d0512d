"""Users' regular expressions: compiled with a clear word where they cannot be, and run so that none stalls the shipper.

Python's `re` backtracks, so a pattern may take exponential time on a line made for it. Within one try to match it looks
for signals now and then, and a handler that raises ends it: a timer of the process's own CPU time, which neither a
freeze nor a busy neighbour uses up, bounds every match. Between two tries it does not look, so a text may be only so
long that all of them together take less than that time; a longer one is matched by a child (`matcher`). A pattern that
ran into its time rests for a hundred times as long, and so does one that is a little slow on line after line.

Those that are ready-made are ours, take linear time, and need none of this.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType

import msgspec

from lifecycle.contract.log import Log
from shipper.rules.matcher import Matcher, MatcherDiedError

if sys.version_info >= (3, 11):
    from re import _parser  # type: ignore[attr-defined]
else:
    import sre_parse as _parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar

    _T = TypeVar("_T")
else:
    Any = object

# A sensible pattern takes microseconds for a line of kilobytes.
MOST_MATCH_S = 0.02
REST_S = 100 * MOST_MATCH_S

# What a match may take, by the text's length, before it counts as slow; and how much more all of them together.
FAIR_S = 0.0001
FAIR_CHARACTER_S = 1e-7
MOST_EXCESS_S = 5 * MOST_MATCH_S

# By how many repetitions a pattern has that may go on for long: in texts of so many characters all tries to match,
# one at each, take less than the time for one match. `re` looks for signals every 4,096 steps of a try.
_MOST_CHARACTERS = (65_536, 2048, 256, 96)
_MOST_TIMES = 16

BLANK = "***"

READY_MADE = {
    "card": r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d.])",
    # Begins where a word does: tried at each of its characters, a long word would be gone through again and again.
    "email": r"(?<![\w.%+-])[\w.%+-]+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    "bearer": r"(?i:\b(bearer|basic) +)[\w.~+/-]{8,}=*",
    "aws_key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?i:(secret_?(?:access_?)?key\W{1,6}))[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    # Likewise; what may stand before the token within its word is kept.
    "jwt": r"(?<![\w-])(?=[\w-]+\.[\w-]{8,}\.)([\w-]*?)\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
}
_KEPT_GROUP = {"bearer": r"\1 " + BLANK, "jwt": r"\1" + BLANK}

_ARROW = "=>"
_LEAST_CARD_DIGITS = 13


class TooSlowError(Exception):
    """A match took longer than any sensible one does."""


class Pattern(msgspec.Struct):
    """One pattern.

    Attributes:
        text: As the user wrote it.
        search: The compiled pattern's.
        sub: Likewise.
        replacement: What takes the place of a match.
        rests_until: Monotonic seconds before which it is not run.
        excess_s: CPU seconds that its matches took beyond what is fair. The clock of the timer may be as coarse as
            4 ms, so a quick match counts for nothing or for that: over many, it is right.
        has_been_slow: Whether that was said.
        number: Its place among all.
        most_characters: In a text of so many its time can be bounded here.
    """

    text: str
    search: Callable[[str], "re.Match[str] | None"]
    sub: Callable[[str | Callable[["re.Match[str]"], str], str], str]
    replacement: str | Callable[["re.Match[str]"], str] = BLANK
    rests_until: float = 0.0
    excess_s: float = 0.0
    has_been_slow: bool = False
    number: int = 0
    most_characters: int = sys.maxsize


class Patterns:
    """Compiles and runs.

    Args:
        log: Says what is wrong with a pattern.
        clock: Monotonic seconds.
    """

    # Whose handler the process's one virtual timer calls.
    guard: "ClassVar[Patterns | None]" = None

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._is_armed = False
        self._all: list[Pattern] = []
        self._matcher = Matcher(self._all, MOST_MATCH_S)

    def compiled(self, variable: str, texts: Iterable[str]) -> list[Pattern]:
        """Patterns of one setting; one that does not compile is said and left out."""
        return [one for one in (self._compiled(variable, text, text, BLANK) for text in texts) if one]

    def redactions(self, variable: str, texts: Iterable[str]) -> list[Pattern]:
        """Patterns with replacements, and ready-made ones by name."""
        found = []
        for text in texts:
            if text in READY_MADE:
                one = self._compiled(variable, text, READY_MADE[text], _ready_made(text))
            else:
                pattern, _, replacement = text.partition(_ARROW)
                one = self._compiled(variable, text, pattern.strip(), replacement.strip() if replacement else BLANK)
                if _ARROW in text and one and not replacement.strip():
                    one.replacement = ""
            found += [one] if one else []
        return found

    def close(self) -> None:
        """Ends what runs beside."""
        self._matcher.close()

    def is_found(self, pattern: Pattern, text: str, *, otherwise: bool = False) -> bool:
        """Whether a pattern is found in a text; `otherwise` while it rests, and when it takes too long."""
        try:
            if len(text) > pattern.most_characters:
                return self._run_elsewhere(pattern, lambda: self._matcher.is_found(pattern.number, text))
            return self._run(pattern, len(text), lambda: pattern.search(text)) is not None
        except TooSlowError:
            return otherwise

    def redacted(self, pattern: Pattern, text: str) -> str:
        """A text with every match replaced; nothing of it is left where that cannot be told in time."""
        try:
            if pattern.most_characters == sys.maxsize:
                return pattern.sub(pattern.replacement, text)
            if len(text) > pattern.most_characters:
                return self._run_elsewhere(pattern, lambda: self._matcher.redacted(pattern.number, text))
            return self._run(pattern, len(text), lambda: pattern.sub(pattern.replacement, text))
        except TooSlowError:
            return BLANK

    def _compiled(
        self, variable: str, text: str, source: str, replacement: str | Callable[["re.Match[str]"], str]
    ) -> Pattern | None:
        try:
            compiled = re.compile(source)
            one = Pattern(text, compiled.search, compiled.sub, replacement, number=len(self._all))
            if source not in READY_MADE.values():
                one.most_characters = _MOST_CHARACTERS[min(_loops(_parser.parse(source)), len(_MOST_CHARACTERS) - 1)]
            compiled.sub(replacement, "")  # a replacement that names no group of it
        except (re.error, RecursionError, OverflowError) as exc:
            self._log.warning(
                "rules.pattern_ignored",
                variable=variable,
                pattern=text,
                error=str(exc),
                expected="a regular expression as Python's re has them",
                effect="it is ignored; the others are used",
            )
            return None
        self._all.append(one)
        self._matcher.close()  # it does not know this one
        return one

    def _run_elsewhere(self, pattern: Pattern, match: "Callable[[], _T]") -> "_T":
        """Has the child run a match.

        Raises:
            TooSlowError: It was ended for it, or the pattern rests since one was.
        """
        if pattern.rests_until and self._clock() < pattern.rests_until:
            raise TooSlowError
        try:
            return match()
        except MatcherDiedError as exc:
            self._let_rest(pattern)
            raise TooSlowError from exc

    def _run(self, pattern: Pattern, length: int, match: "Callable[[], _T]") -> "_T":
        """Runs a match within its time.

        Raises:
            TooSlowError: It did not end in it, or rests since it did not.
        """
        if pattern.rests_until and self._clock() < pattern.rests_until:
            raise TooSlowError
        try:
            try:
                self._arm()
                found = match()
            finally:
                # The signal may come just after the match: from here on it raises nothing, and the timer is stopped.
                self._is_armed = False
        except TooSlowError:
            self._let_rest(pattern)
            raise
        finally:
            took_s = self._disarm()
        if took_s > 0 or pattern.excess_s:
            fair_s = FAIR_S + length * FAIR_CHARACTER_S
            pattern.excess_s = max(0.0, pattern.excess_s + took_s - fair_s)
            if pattern.excess_s > MOST_EXCESS_S:
                self._let_rest(pattern)
        return found

    def _let_rest(self, pattern: Pattern) -> None:
        pattern.rests_until = self._clock() + REST_S
        pattern.excess_s = 0.0
        if not pattern.has_been_slow:
            pattern.has_been_slow = True
            self._log.warning(
                "rules.pattern_slow",
                pattern=pattern.text,
                most_ms=MOST_MATCH_S * 1000,
                effect=f"it rests for {REST_S:g} s each time; a text it was to redact is blanked whole",
            )

    def _arm(self) -> None:
        import _signal  # type: ignore[import-not-found]

        if Patterns.guard is not self:
            try:
                _signal.signal(_signal.SIGVTALRM, self._expired)
            except ValueError:  # not the main thread: in tests
                return
            Patterns.guard = self
        self._is_armed = True
        # It repeats: a signal that comes between two checks of the matcher is not the last chance.
        _signal.setitimer(_signal.ITIMER_VIRTUAL, MOST_MATCH_S, MOST_MATCH_S)

    def _disarm(self) -> float:
        """Stops the timer; returns the CPU seconds since it was set."""
        import _signal

        self._is_armed = False
        if Patterns.guard is not self:
            return 0.0
        left_s: float = _signal.setitimer(_signal.ITIMER_VIRTUAL, 0)[0]
        return MOST_MATCH_S - left_s if left_s else 0.0

    def _expired(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_armed:
            self._is_armed = False
            raise TooSlowError


def _loops(tree: Any) -> int:
    """How many repetitions a parsed pattern has that may go on for long: with each the time grows by one power more."""
    found = 0
    for kind, value in tree:
        name = str(kind)
        if name.endswith("_REPEAT"):
            found += (value[1] > _MOST_TIMES) + _loops(value[2])
        elif name == "BRANCH":
            found += max(map(_loops, value[1]))
        elif name == "GROUPREF_EXISTS":
            found += sum(_loops(part) for part in value[1:] if part is not None)
        elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            found += _loops(value[-1])
        elif name == "ATOMIC_GROUP":
            found += _loops(value)
    return found


def _ready_made(name: str) -> str | Callable[["re.Match[str]"], str]:
    if name == "card":
        return _without_card
    if name == "aws_key":
        return lambda found: (found[1] or "") + BLANK
    return _KEPT_GROUP.get(name, BLANK)


def _without_card(found: "re.Match[str]") -> str:
    """Blanks what has the check digit of a card number (ISO/IEC 7812-1); one number in ten has by chance."""
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    if len(digits) < _LEAST_CARD_DIGITS:
        return found[0]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return BLANK if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found[0]
