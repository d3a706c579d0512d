"""Severities: the words that runtimes and libraries use, and OpenTelemetry's numbers for them.

Source: OpenTelemetry logs data model, "Field: SeverityNumber" and its appendix, "SeverityNumber example mappings".
"""

from lifecycle.contract import late

TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21

# Upper case; what is written otherwise is found by `number_of`. Where the appendix has two numbers for a word, that of
# Lambda's runtimes counts: CRITICAL is Python's and .NET's most severe level, and syslog's is another.
NUMBERS = {
    "TRACE": TRACE,
    "TRCE": TRACE,  # .NET abbreviates
    "TRC": TRACE,  # Serilog and zerolog, here and below
    "T": TRACE,
    "FINEST": TRACE,  # java.util.logging
    "SILLY": TRACE,  # npm
    "DEBUG": DEBUG,
    "DBUG": DEBUG,
    "DBG": DEBUG,
    "D": DEBUG,
    "VERBOSE": DEBUG,
    "VRB": DEBUG,
    "V": DEBUG,
    "FINER": DEBUG,
    "FINE": DEBUG + 1,
    "CONFIG": DEBUG + 2,
    "HTTP": DEBUG + 3,  # npm, between verbose and info
    "INFO": INFO,
    "INF": INFO,
    "I": INFO,
    "INFORMATION": INFO,
    "INFORMATIONAL": INFO,
    "NOTICE": INFO + 1,
    "SUCCESS": INFO + 1,  # loguru
    "WARN": WARN,
    "WARNING": WARN,
    "WRN": WARN,
    "W": WARN,
    "ERROR": ERROR,
    "ERR": ERROR,
    "E": ERROR,
    "FAIL": ERROR,
    "SEVERE": ERROR,
    "DPANIC": ERROR + 1,  # zap
    "PANIC": ERROR + 2,
    "PNC": ERROR + 2,
    "ALERT": ERROR + 2,  # syslog
    "CRITICAL": FATAL,
    "CRIT": FATAL,
    "C": FATAL,
    "FATAL": FATAL,
    "FTL": FATAL,
    "F": FATAL,
    "EMERGENCY": FATAL,
    "EMERG": FATAL,
}
_MOST = 24

# Go's slog writes what lies between its levels as `INFO+2`; its levels are as far apart as OpenTelemetry's.
_OFFSET = late.pattern(r"(DEBUG|INFO|WARN|ERROR)([+-]\d{1,2})")

# OpenTelemetry's own names of its numbers: TRACE, TRACE2, TRACE3, TRACE4, DEBUG, …
_OWN = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_OWN_NAME = late.pattern(r"(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)([2-4])")

# pino and bunyan write numbers, from 10 to 60; with levels of one's own also between them.
_BY_TENS = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}
_LEAST_TENS, _MOST_TENS = 10, 69
_STEPS = 4

# syslog's severities, which GELF uses (RFC 5424, section 6.2.1).
_BY_SYSLOG = ("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")


def number_of(level: str) -> int:
    """The number of a level, however it is written; 0 for what is none."""
    number = NUMBERS.get(level) or NUMBERS.get(level.upper())
    if number is not None:
        return number
    offset = _OFFSET.fullmatch(level)
    if offset:
        return min(max(1, NUMBERS[offset[1]] + int(offset[2])), _MOST)
    own = _OWN_NAME.fullmatch(level)
    if own:
        return NUMBERS[own[1]] + int(own[2]) - 1
    if len(level) == len(str(_MOST_TENS)) and level.isascii() and level.isdigit():
        tens, ones = divmod(int(level), 10)
        if _LEAST_TENS <= int(level) <= _MOST_TENS:
            return NUMBERS[_BY_TENS[10 * tens]] + ones * _STEPS // 10
    return 0


def name_of(number: int) -> str:
    """The level that pino or bunyan mean by a number; one between theirs is its own name; "" for none."""
    return _BY_TENS.get(number) or (str(number) if _LEAST_TENS < number <= _MOST_TENS else "")


def own_name_of(number: int) -> str:
    """OpenTelemetry's name of one of its numbers; "" for what is none of them."""
    if not 1 <= number <= _MOST:
        return ""
    kind, step = divmod(number - 1, _STEPS)
    return f"{_OWN[kind]}{step + 1 if step else ''}"


def syslog_name_of(number: int) -> str:
    """What syslog calls one of its severities; "" for what is none."""
    return _BY_SYSLOG[number] if 0 <= number < len(_BY_SYSLOG) else ""
