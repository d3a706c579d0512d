"""Finds the extension's own lines in whatever they come in: CloudWatch's exports, prefixes, other people's lines."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from lifecycle.contract.setting_types import FIRST_ROUTE
from lifecycle.machine.commands import SHIPPER

LOGGER = '"logger":"tailrace.'
# As it stands in a line of JSON that holds ours as text.
QUOTED_LOGGER = '\\"logger\\":\\"tailrace.'

MS_PER_S = 1000


class Line(NamedTuple):
    """One line that the extension said.

    Attributes:
        at: When, milliseconds since the epoch.
        event: Its name, such as `shipper.request_sent`.
        process: `lifecycle`, `collector`, `shipper` or that of a further route.
        level: `debug` to `error`.
        fields: Everything else it says.
    """

    at: float
    event: str
    process: str
    level: str
    fields: dict[str, Any]


def found(text: Iterable[str]) -> Iterator[Line]:
    """The extension's lines, in the order of their times; what is none of them is passed over."""
    read = (line for raw in text for line in _in(raw))
    return iter(sorted(read, key=lambda line: line.at))


def _in(raw: str) -> Iterator[Line]:
    if QUOTED_LOGGER in raw:
        # An export in JSON: the line is a text in some member of it.
        try:
            yield from (line for text in _texts(json.loads(raw[raw.index("{") :])) for line in _in(text))
        except ValueError:
            return
        return
    start = raw.find("{" + LOGGER)
    if start < 0:
        return
    try:
        said, _ = json.JSONDecoder().raw_decode(raw, start)
        at = datetime.fromisoformat(said.pop("time").replace("Z", "+00:00")).timestamp() * MS_PER_S
        process = said.pop("logger").removeprefix("tailrace.")
        if process == SHIPPER and said.get("route", FIRST_ROUTE) != FIRST_ROUTE:
            process = f"{SHIPPER}-{said['route']}"
        yield Line(at, said.pop("event"), process, said.pop("level"), said)
    except (ValueError, KeyError, AttributeError):
        return


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
