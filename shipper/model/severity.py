"""Severities: the words that runtimes and libraries use, and OpenTelemetry's numbers for them.

Source: OpenTelemetry logs data model, "Field: SeverityNumber" and its appendix, "SeverityNumber example mappings".
"""

import re

TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21

# Upper case; what is written otherwise is found by `number_of`. Where the appendix has two numbers for a word, that of
# Lambda's runtimes counts: CRITICAL is Python's and .NET's most severe level, and syslog's is another.
NUMBERS = {
    "TRACE": TRACE,
    "TRCE": TRACE,  # .NET abbreviates
    "FINEST": TRACE,  # java.util.logging
    "DEBUG": DEBUG,
    "DBUG": DEBUG,
    "VERBOSE": DEBUG,
    "FINER": DEBUG,
    "FINE": DEBUG + 1,
    "CONFIG": DEBUG + 2,
    "INFO": INFO,
    "INFORMATION": INFO,
    "INFORMATIONAL": INFO,
    "NOTICE": INFO + 1,
    "WARN": WARN,
    "WARNING": WARN,
    "ERROR": ERROR,
    "FAIL": ERROR,
    "SEVERE": ERROR,
    "DPANIC": ERROR + 1,  # zap
    "PANIC": ERROR + 2,
    "ALERT": ERROR + 2,  # syslog
    "CRITICAL": FATAL,
    "CRIT": FATAL,
    "FATAL": FATAL,
    "EMERGENCY": FATAL,
}
_MOST = 24

# Go's slog writes what lies between its levels as `INFO+2`; its levels are as far apart as OpenTelemetry's.
_OFFSET = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-]\d{1,2})")

# What TAILRACE_MIN_LEVEL may name.
LEAST = {"trace": TRACE, "debug": DEBUG, "info": INFO, "warn": WARN, "error": ERROR, "fatal": FATAL}

# pino and bunyan write numbers.
_BY_TENS = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}


def number_of(level: str) -> int:
    """The number of a level, however it is written; 0 for what is none."""
    number = NUMBERS.get(level) or NUMBERS.get(level.upper())
    if number is not None:
        return number
    offset = _OFFSET.fullmatch(level)
    return min(max(1, NUMBERS[offset[1]] + int(offset[2])), _MOST) if offset else 0


def name_of(number: int) -> str:
    """The level that pino or bunyan mean by a number; "" for none."""
    return _BY_TENS.get(number, "")
