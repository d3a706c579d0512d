r"""Severity and request id, where a text line carries them plainly in its runtime's own format.

Looks at the raw JSON string, in which a tab is `\t` (two characters), so nothing is decoded.
"""

import re

# OpenTelemetry logs data model, "Displaying severity" and appendix B.
NUMBERS = {
    "TRACE": 1,
    "DEBUG": 5,
    "INFO": 9,
    "INFORMATION": 9,
    "NOTICE": 10,
    "WARN": 13,
    "WARNING": 13,
    "ERROR": 17,
    "CRITICAL": 21,
    "FATAL": 21,
}

_LEVELS = {name.encode(): name for name in NUMBERS}

# No other line can match: the first two bytes tell most lines apart at once.
MAY_HAVE_LEVEL = (b'"[', b'"2')

_TIME = rb"[0-9T:.Z-]{20,30}"
_ID = rb"[0-9a-fA-F-]{36}"

# Python: `[INFO]\t2024-05-20T16:29:45.008Z\t<request id>\tmessage`, `[ERROR] KeyError: …`.
# Node.js: `2024-05-20T16:29:45.008Z\t<request id or "undefined">\tINFO\tmessage`.
plain = re.compile(
    rb'"(?:\[(?P<bracketed>[A-Z]{4,11})\](?: |\\t(?:' + _TIME + rb"\\t(?P<python_id>" + _ID + rb")\\t)?)"
    rb"|" + _TIME + rb"\\t(?:undefined|(?P<node_id>" + _ID + rb"))\\t(?P<tabbed>[A-Z]{4,11})\\t)"
).match


def level_and_id(line: bytes) -> tuple[str, str]:
    """Level and request id of a raw JSON string; "" for what it does not say plainly."""
    found = plain(line)
    if found is None:
        return "", ""
    bracketed, python_id, node_id, tabbed = found.groups()
    level = _LEVELS.get(bracketed or tabbed)
    if level is None:
        return "", ""
    request_id = python_id or node_id
    return level, str(request_id, "ascii") if request_id else ""
