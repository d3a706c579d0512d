"""Severities: the words that runtimes and libraries use, and OpenTelemetry's numbers for them.

Source: OpenTelemetry logs data model, "Field: SeverityNumber" and appendix B.
"""

TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRITICAL, FATAL = 1, 5, 9, 10, 13, 17, 21, 21

# Upper case; what is written otherwise is found by `number_of`.
NUMBERS = {
    "TRACE": TRACE,
    "TRCE": TRACE,  # .NET abbreviates
    "FINEST": TRACE,  # java.util.logging
    "FINER": TRACE,
    "DEBUG": DEBUG,
    "DBUG": DEBUG,
    "VERBOSE": DEBUG,
    "FINE": DEBUG,
    "CONFIG": DEBUG,
    "INFO": INFO,
    "INFORMATION": INFO,
    "NOTICE": NOTICE,
    "WARN": WARN,
    "WARNING": WARN,
    "ERROR": ERROR,
    "FAIL": ERROR,
    "SEVERE": ERROR,
    "CRITICAL": CRITICAL,
    "CRIT": CRITICAL,
    "DPANIC": CRITICAL,
    "ALERT": 22,
    "FATAL": FATAL,
    "PANIC": FATAL,
    "EMERGENCY": 23,
}

# What TAILRACE_MIN_LEVEL may name.
LEAST = {"trace": TRACE, "debug": DEBUG, "info": INFO, "warn": WARN, "error": ERROR, "fatal": FATAL}

# pino and bunyan write numbers.
_BY_TENS = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}


def number_of(level: str) -> int:
    """The number of a level, however it is written; 0 for what is none."""
    return NUMBERS.get(level) or NUMBERS.get(level.upper(), 0)


def name_of(number: int) -> str:
    """The level that pino or bunyan mean by a number; "" for none."""
    return _BY_TENS.get(number, "")
