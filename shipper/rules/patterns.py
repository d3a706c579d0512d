"""Users' regular expressions: compiled with a clear word where they cannot be, and run so that none stalls the shipper.

Python's `re` backtracks, so a pattern may take exponential time on a line made for it. Within one try to match it looks
for signals now and then, and a handler that raises ends it: a timer of the process's own CPU time, which neither a
freeze nor a busy neighbour uses up, bounds every match. Between two tries it does not look, so a text may be only so
long that all of them together take less than that time; a longer one is matched by a child (`matcher`). A pattern that
ran into its time rests for a hundred times as long, and so does one that is a little slow on line after line.

Those that are ready-made are ours, take linear time, and need none of this.
"""

import sys
import time
from collections.abc import Callable, Iterable
from itertools import takewhile
from types import FrameType

import msgspec

from lifecycle.contract import late
from lifecycle.contract.log import Log
from lifecycle.contract.patterns import Rule, read
from shipper.rules.matcher import Matcher, MatcherDiedError

if sys.version_info >= (3, 11):
    from re import _parser  # type: ignore[attr-defined]
else:
    import sre_parse as _parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
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

_KEPT_GROUP = {"bearer": r"\1 " + BLANK, "jwt": r"\1" + BLANK}

_LEAST_CARD_DIGITS, _MOST_CARD_DIGITS = 13, 19
_LEAST_CARD_GROUP = 3
_MOST_CARD_GROUPS = _MOST_CARD_DIGITS // _LEAST_CARD_GROUP
_DIGITS = late.pattern(r"\d+")


class TooSlowError(Exception):
    """A match took longer than any sensible one does, or the pattern rests since one did."""


class UnreadableError(Exception):
    """A redaction of which not every part can be used."""


class Pattern(msgspec.Struct):
    """One pattern.

    Attributes:
        variable: Whose setting's it is.
        name: What the log calls it: of a redaction its place in the setting, since what it is to keep back may stand in
            it as it is.
        search: The compiled pattern's.
        sub: Likewise.
        replacement: What takes the place of a match.
        rests_until: Monotonic seconds before which it is not run.
        excess_s: CPU seconds that its matches took beyond what is fair. The clock of the timer may be as coarse as
            4 ms, so a quick match counts for nothing or for that: over many, it is right.
        has_been_slow: Whether that was said.
        number: Its place among all.
        most_characters: In a text of so many its time can be bounded here.
        is_anchored: Whether it finds in a part of a text what it does not find in the whole: it looks at what stands
            around a match. The ready-made ones do, and take a quote for an end as well.
    """

    variable: str
    name: str
    search: Callable[[str], "re.Match[str] | None"]
    sub: Callable[[str | Callable[["re.Match[str]"], str], str], str]
    replacement: str | Callable[["re.Match[str]"], str] = BLANK
    rests_until: float = 0.0
    excess_s: float = 0.0
    has_been_slow: bool = False
    number: int = 0
    most_characters: int = sys.maxsize
    is_anchored: bool = False


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
        reading = read(variable, tuple(texts), is_redaction=False)
        for problem in reading.unusable:
            self._log.warning("rules.pattern_ignored", **problem.explained())
        return [self._made(rule, variable, rule.text) for rule in reading.rules]

    def redactions(self, variable: str, texts: Iterable[str]) -> list[Pattern]:
        """Patterns with replacements, and ready-made ones by name.

        Raises:
            UnreadableError: One of them cannot be used, so that nobody knows what they were to keep back.
        """
        reading = read(variable, tuple(texts), is_redaction=True)
        for problem in reading.misspelt:
            self._log.warning("rules.name_misspelt", **problem.explained())
        for problem in reading.unusable:
            self._log.error("rules.redaction_unreadable", **problem.explained())
        if reading.unusable:
            raise UnreadableError
        return [self._made(rule, variable, f"number {rule.number}") for rule in reading.rules]

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
        """A text with every match replaced.

        Raises:
            TooSlowError: That cannot be told in time.
        """
        if pattern.most_characters == sys.maxsize:
            return pattern.sub(pattern.replacement, text)
        if len(text) > pattern.most_characters:
            return self._run_elsewhere(pattern, lambda: self._matcher.redacted(pattern.number, text))
        return self._run(pattern, len(text), lambda: pattern.sub(pattern.replacement, text))

    def _made(self, rule: Rule, variable: str, name: str) -> Pattern:
        replacement = _ready_made(rule.ready_made) if rule.ready_made else rule.replacement
        one = Pattern(
            variable,
            name,
            rule.compiled.search,
            rule.compiled.sub,
            BLANK if replacement is None else replacement,
            number=len(self._all),
        )
        if not rule.ready_made:
            tree = _parser.parse(rule.compiled.pattern)
            one.most_characters = _MOST_CHARACTERS[min(_loops(tree), len(_MOST_CHARACTERS) - 1)]
            one.is_anchored = _is_anchored(tree)
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
                variable=pattern.variable,
                pattern=pattern.name,
                most_ms=MOST_MATCH_S * 1000,
                effect=f"it rests for {REST_S:g} s each time; a record it was to redact is blanked whole",
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


def _is_anchored(tree: Any) -> bool:
    """Whether a parsed pattern looks at what stands before or after a match."""
    for kind, value in tree:
        name = str(kind)
        if name in ("AT", "ASSERT", "ASSERT_NOT"):
            return True
        parts: Iterable[Any] = ()
        if name.endswith("_REPEAT"):
            parts = (value[2],)
        elif name == "BRANCH":
            parts = value[1]
        elif name == "GROUPREF_EXISTS":
            parts = [part for part in value[1:] if part is not None]
        elif name == "SUBPATTERN":
            parts = (value[-1],)
        elif name == "ATOMIC_GROUP":
            parts = (value,)
        if any(map(_is_anchored, parts)):
            return True
    return False


def _ready_made(name: str) -> str | Callable[["re.Match[str]"], str]:
    if name == "card":
        return _without_card
    if name == "aws_key":
        return lambda found: (found[1] or "") + BLANK
    return _KEPT_GROUP.get(name, BLANK)


def _without_card(found: "re.Match[str]") -> str:
    """Blanks each card number among numbers that stand side by side: all of them together are one, or some are."""
    text = found[0]
    if _is_card(text):
        return BLANK
    groups = [one.span() for one in _DIGITS.finditer(text)]
    pieces: list[str] = []
    past = 0
    for number, (begin, _) in enumerate(groups):
        if begin >= past:
            near = takewhile(_is_of_card, groups[number : number + _MOST_CARD_GROUPS])
            # The longest first: what belongs to a number is not to be left of it.
            end = next((end for _, end in reversed([*near]) if _is_card(text[begin:end])), 0)
            if end:
                pieces += (text[past:begin], BLANK)
                past = end
    return "".join((*pieces, text[past:]))


def _is_of_card(group: tuple[int, int]) -> bool:
    """Whether so many digits may be a part of a card number: shorter ones beside it are a date's, or a quantity."""
    begin, end = group
    return end - begin >= _LEAST_CARD_GROUP


def _is_card(text: str) -> bool:
    """Whether digits are as many as a card number has, and their check digit right (ISO/IEC 7812-1).

    That of one number in ten is by chance.
    """
    bare = text.replace(" ", "").replace("-", "")
    if not _LEAST_CARD_DIGITS <= len(bare) <= _MOST_CARD_DIGITS:
        return False
    digits = [*map(int, bare)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
