r"""Users' regular expressions as the settings have them: which compile, which are ready-made, which look misspelt.

The extension at boot, the shipper's rules and the check for people all ask this module, so that they cannot disagree.
It is loaded only where a pattern is set, since it loads `re`. How patterns are run is the shipper's.

A redaction of which one part cannot be read is of no use: nobody knows what it was to keep back.
"""

import re

from lifecycle.contract.setting_types import Patterns as Row
from lifecycle.contract.settings import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lifecycle.contract.settings import Settings

# Each takes linear time, and begins where a word does: tried at each of its characters, a long word would be gone
# through again and again.
READY_MADE = {
    # With the numbers that stand beside it, among which it is looked for. No part of a fraction; but a sentence may end
    # behind it, and a number be written with `.0`.
    "card": r"(?<!\d)(?<!\d\.)(?:\d[ -]?){12,98}\d(?!\d|\.0{0,9}[1-9])",
    "email": r"(?<![\w.%+-])[\w.%+-]+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    "bearer": r"(?i:\b(bearer|basic) +)[\w.~+/-]{8,}=*",
    "aws_key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?i:(secret_?(?:access_?)?key\W{1,6}))[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    # What may stand before the token within its word is kept.
    "jwt": r"(?<![\w-])(?=[\w-]+\.[\w-]{8,}\.)([\w-]*?)\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
}

ARROW = "=>"
HIDDEN = "(hidden)"

REDACT = "redact"

_EXPECTED = "a regular expression as Python's re has them"


class Rule:
    """One pattern of a setting.

    Attributes:
        text: As the user wrote it.
        number: Its place in the setting, from 1.
        compiled: The regular expression.
        replacement: What takes the place of a match; None: what is usual.
        ready_made: Name of the ready-made one that it is; "" for the user's own.
    """

    __slots__ = ("compiled", "number", "ready_made", "replacement", "text")

    def __init__(
        self, text: str, number: int, compiled: "re.Pattern[str]", replacement: str | None, ready_made: str
    ) -> None:
        self.text = text
        self.number = number
        self.compiled = compiled
        self.replacement = replacement
        self.ready_made = ready_made


class Reading:
    """What a setting's patterns are.

    Attributes:
        rules: Those that can be used.
        unusable: What is wrong with the others.
        misspelt: What looks like the name of a ready-made one; it is used as it stands, and so is the ready-made one.
    """

    __slots__ = ("misspelt", "rules", "unusable")

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.unusable: list[Problem] = []
        self.misspelt: list[Problem] = []


def read(variable: str, texts: "tuple[str, ...]", *, is_redaction: bool) -> Reading:
    """The patterns of one setting.

    Args:
        variable: The setting's, which problems name.
        texts: One of each pattern.
        is_redaction: Whether they may be names of ready-made ones, and have replacements.
    """
    reading = Reading()
    for number, text in enumerate(texts, 1):
        try:
            if is_redaction:
                _read_redaction(reading, variable, number, text)
            else:
                reading.rules.append(Rule(text, number, re.compile(text), None, ""))
        except (re.error, RecursionError, OverflowError) as exc:
            if is_redaction:  # what is to be kept back may stand in it as it is
                used = "nothing is sent where it applies, and every record is dropped, counted as unredactable"
                reading.unusable.append(
                    Problem(variable, HIDDEN, f"{_EXPECTED}, which part {number} is not ({exc})", used)
                )
            else:
                reading.unusable.append(Problem(variable, text, f"{_EXPECTED} ({exc})", "the others"))
    return reading


def problems(settings: "Settings") -> "Iterator[Problem]":
    """What is wrong with the patterns of an environment and all its routes."""
    said = set()
    for route in (settings, *settings.routes):
        for row in settings.table():
            variable = route.given.get(row.attribute, "")
            if isinstance(row, Row) and variable and variable not in said:
                said.add(variable)
                reading = read(variable, route.values[row.attribute], is_redaction=row.attribute == REDACT)
                yield from reading.unusable
                yield from reading.misspelt


def names_meant(text: str) -> list[str]:
    """The ready-made names that a pattern may have been meant to be: one, or several that are not separated by `;`."""
    names = [near_name(word) for word in re.split(r"[,|\s]+", text) if word]
    return names if all(names) else []


def near_name(text: str) -> str:
    """The ready-made name that a text may have been meant to be: one within one edit of it; "" for none."""
    return next((name for name in READY_MADE if _is_one_edit(text.lower(), name)), "")


def _read_redaction(reading: Reading, variable: str, number: int, text: str) -> None:
    if text in READY_MADE:
        reading.rules.append(Rule(text, number, re.compile(READY_MADE[text]), None, text))
        return
    pattern, arrow, replacement = text.partition(ARROW)
    rule = Rule(text, number, re.compile(pattern.strip()), replacement.strip() if arrow else None, "")
    rule.compiled.sub(rule.replacement or "", "")  # a replacement that names no group of it
    reading.rules.append(rule)
    names = names_meant(pattern.strip())
    if names:
        reading.rules += [Rule(name, number, re.compile(READY_MADE[name]), None, name) for name in names]
        meant = f"the name {names[0]}" if len(names) == 1 else f"the names {';'.join(names)}"
        expected = f"{meant}, or a pattern that is less like that: (?:{pattern.strip()})"
        reading.misspelt.append(
            Problem(variable, text, expected, "both, the pattern as it stands and what is ready-made")
        )


def _is_one_edit(text: str, name: str) -> bool:
    """Whether one letter more, less or other, or two that changed places, are all that differs."""
    if abs(len(text) - len(name)) > 1:
        return False
    same = 0
    for ours, theirs in zip(text, name, strict=False):
        if ours != theirs:
            break
        same += 1
    rest, wanted = text[same:], name[same:]
    is_swapped = rest[:2] == wanted[1::-1] and rest[2:] == wanted[2:]
    return rest == wanted or rest[1:] == wanted[1:] or rest[1:] == wanted or rest == wanted[1:] or is_swapped
