"""The page: everything in one file that opens offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.timeline.answers import answers
from tools.timeline.life import BACKEND, COLLECTOR, FUNCTION, SUPERVISOR, Life

TEMPLATE = Path(__file__).with_name("page.html")
PLACE = "/*TOLD*/"


class Table(NamedTuple):
    """A table below the picture; `details` has for each row what is shown when it is opened."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    details: Sequence[object] = ()


def html(told: Sequence[Life], tables: Sequence[Table] = ()) -> str:
    """The page for some lives, with tables below the picture."""
    page = TEMPLATE.read_text(encoding="utf-8")
    data = {"lives": [_shown(life) for life in told], "tables": [table._asdict() for table in tables]}
    # Nothing in a log may end the script that it stands in.
    return page.replace(PLACE, json.dumps(data, separators=(",", ":"), default=str).replace("<", "\\u003c"))


def _shown(life: Life) -> dict[str, Any]:
    lanes = [FUNCTION, SUPERVISOR, COLLECTOR]
    told = dict.fromkeys([*(span.lane for span in life.spans), *(moment.lane for moment in life.moments)])
    lanes += [lane for lane in told if lane not in (*lanes, BACKEND)]
    lanes.append(BACKEND)
    spans = sorted(life.spans, key=lambda span: (span.since, span.until))
    return {
        "since": life.since,
        "until": max(life.until, life.since + 1),
        "lanes": lanes,
        "detailed": life.is_detailed,
        "spans": [
            [
                lanes.index(span.lane),
                span.kind,
                round(span.since - life.since, 3),
                round(span.until - life.since, 3),
                span.label,
                span.facts,
            ]
            for span in spans
        ],
        "moments": [
            [lanes.index(one.lane), one.kind, round(one.at - life.since, 3), one.label, one.facts]
            for one in life.moments
        ],
        "fill": [[round(at - life.since, 3), waiting] for at, waiting in life.fill],
        "ledger": life.ledger,
        "answers": answers(life),
    }
