"""What only compiling shows to be wrong with a setting, for `TAILRACE_STRICT`: it must be known before the first event.

Otherwise the shipper says it, when it needs its rules, and no cold start waits for `re`.
"""

from lifecycle.contract.setting_types import Patterns
from lifecycle.contract.settings import Problem, Settings

_ARROW = "=>"


def pattern_problems(settings: Settings) -> list[Problem]:
    """The patterns that do not compile."""
    rows = [row for row in settings.table() if isinstance(row, Patterns) and settings.values[row.attribute]]
    if not rows:
        return []
    import re

    problems = []
    for row in rows:
        for text in settings.values[row.attribute]:
            pattern, _, replacement = text.partition(_ARROW) if row.attribute == "redact" else (text, "", "")
            try:
                re.compile(pattern.strip()).sub(replacement.strip(), "")
            except (re.error, RecursionError, OverflowError):
                expected = "a regular expression as Python's re has them"
                problems.append(Problem(row.variable, text, expected, "the others"))
    return problems
