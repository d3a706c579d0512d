"""Measures what the extension costs and holds it against what was promised.

Every figure of a cold start stands beside the bare interpreter, measured in turn with it, since machines are noisy.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench import bench_encode, measures, quota
from tests.bench.bench_encode import json_line, plain_line
from tests.bench.memory import largest_modules
from tools import layer, pythons
from tools.target import VERSIONS, Target, dotted

ROUNDS = 15

# Of environments that are compared: where a process happens to lie in memory makes a tenth of a millisecond, for life.
PAIRS = 5

# Of what each stage of the shipper takes for a line, should that be too much.
STAGE_ROUNDS = 7

ZIP = Path("build/tailrace-layer.zip")
RESULTS = Path("build/bench.json")


class ColdStarts(NamedTuple):
    """Medians of one Python's, from the universal zip."""

    bare_ms: float
    register_ms: float
    next_ms: float


def cold_starts(targets: Sequence[Target]) -> dict[str, ColdStarts]:
    """Measures the cold starts of several Pythons in turn, so that what else the machine does hits all alike."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch:
        measured: dict[str, list[tuple[measures.Bare, measures.Boot]]] = {}
        for target in targets:
            layer.unpack(ZIP, Path(scratch) / target.name, str(target.interpreter))
        for _ in range(ROUNDS):
            for target in targets:
                extensions = Path(scratch) / target.name / "extensions"
                pair = measures.bare(str(target.interpreter)), measures.boot(extensions)
                measured.setdefault(dotted(target.version), []).append(pair)
    return {
        version: ColdStarts(
            statistics.median(bare.wall_ms for bare, _ in pairs),
            statistics.median(boot.register_ms for _, boot in pairs),
            statistics.median(boot.next_ms for _, boot in pairs),
        )
        for version, pairs in measured.items()
    }


def per_invocation(flush: str) -> tuple[float, float]:
    """CPU of an invocation with logs alone, and what every signal adds to it, in milliseconds."""
    pairs = [measures.cpu_per_invocation_ms("logs", "logs,traces,metrics", flush=flush) for _ in range(PAIRS)]
    return statistics.median(alone for alone, _ in pairs), statistics.median(every - alone for alone, every in pairs)


def _pss_mb(used: Sequence[measures.Used]) -> float:
    return statistics.median(one.pss_mb for one in used)


def say_where_memory_is(console: Console, too_large: Sequence[tuple[str, str]]) -> None:
    """Rows that take more than they may, each with its processes by mapping; and what modules allocate."""
    for what, memory in too_large:
        console.print(f"{what}, by mapping:", memory, sep="\n", soft_wrap=True)
    if too_large:
        modules = largest_modules(measures.EXTENSIONS.parent / measures.NAME)
        console.print("What modules allocate as they are loaded (KB self | cumulative | module):", modules, sep="\n")


def say_whose_processor(console: Console, missed: Sequence[str], reasons: Mapping[str, str]) -> None:
    """Of rows that are missed under a quota, who took the processor."""
    for what in missed:
        if what in reasons:
            console.print(f"{what}: {reasons[what]}", soft_wrap=True)


def main() -> int:  # noqa: PLR0915 - a table has many rows
    """Runs everything.

    Returns:
        Exit status: 1 when a figure is missed.
    """
    console = Console()
    with console.status("Cold starts …") as status:
        pairs = []
        for number in range(ROUNDS):
            status.update(f"Cold starts … {number + 1} of {ROUNDS}")
            pairs.append((measures.bare(), measures.boot()))
        status.update("Cold starts on every Python …")
        versions = cold_starts(pythons.running_and_others(VERSIONS))
        status.update("The first twenty invocations …")
        used = [measures.used(20) for _ in range(PAIRS)]
        used_tls = [measures.used(20, tls=True) for _ in range(PAIRS)]
        status.update("60,000 lines in three invocations …")
        loads = [measures.load(flush=flush) for flush in ("adaptive", "end")]
        status.update("60,000 lines of JSON …")
        json_loads = [measures.load(flush=flush, is_json=True) for flush in ("adaptive", "end")]
        status.update("Invocations with logs alone, and with every signal …")
        alone, added = per_invocation("adaptive")
        status.update("The same, shipped after each …")
        alone_end, added_end = per_invocation("end")
        status.update("20 lines an invocation, plain and over TLS …")
        at_once = [[measures.cpu_shipped_at_once_ms(tls=tls) for tls in (False, True)] for _ in range(PAIRS)]
        at_once_ms, over_tls_ms = (statistics.median(pair[at] for pair in at_once) for at in (0, 1))
        status.update("20 held invocations …")
        held = measures.held()
        status.update("The intake, unused and used …")
        intakes = [(measures.boot(), measures.boot(environ=measures.INTAKE)) for _ in range(ROUNDS)]
        exports = measures.exports()
        status.update("A second route …")
        routes = [(measures.idle(), measures.idle(measures.SECOND_ROUTE)) for _ in range(PAIRS)]
        starts = []
        environs: tuple[dict[str, str], ...] = ({}, measures.INTAKE, measures.SECOND_ROUTE)
        for number in range(2 * ROUNDS):
            bare = measures.bare()
            asked = {
                at: measures.asked(measures.EXTENSIONS, environs[at])
                for at in ((number + place) % len(environs) for place in range(len(environs)))
            }
            starts.append((bare, [asked[at] for at in range(len(environs))]))
        status.update("On the share of a processor that a small function has …")
        try:
            quota_rows, reasons = quota.rows()
        except quota.ForbiddenError as exc:
            quota_rows, reasons = [], {}
            console.print(f"Nothing is measured under a quota: this machine forbids it ({exc}).")
    wall_ms = statistics.median(bare.wall_ms for bare, _ in starts)
    cpu_ms = statistics.median(bare.cpu_ms for bare, _ in pairs)
    register_ms, next_ms = (statistics.median(asked[0][at] for _, asked in starts) for at in (0, 1))
    boot_cpu_ms = statistics.median(boot.cpu_ms for _, boot in pairs)
    pss_mb = statistics.median(boot.pss_mb for _, boot in pairs)
    idle_row = ("PSS of all processes, idle", pss_mb, "MB", None, 13.0)
    used_row = ("PSS of all processes, after 20 invocations", _pss_mb(used), "MB", None, 15.0)
    tls_row = ("PSS of all processes, after 20 invocations over TLS", _pss_mb(used_tls), "MB", None, 18.0)
    off, on = ([pair[at] for pair in intakes] for at in (0, 1))
    intake_ratio = statistics.median(asked[1][1] / asked[0][1] for _, asked in starts)
    intake_mb = statistics.median(boot.pss_mb for boot in on) - statistics.median(boot.pss_mb for boot in off)
    second_asked = [statistics.median(asked[2][at] / asked[0][at] for _, asked in starts) for at in (0, 1)]
    second_cpu = statistics.median(two.cpu_ms / one.cpu_ms for one, two in routes)
    second_mb = statistics.median(two.pss_mb - one.pss_mb for one, two in routes)
    load, json_load = (max(some, key=lambda one: one.peak_pss_mb) for some in (loads, json_loads))
    load_row = (f"peak PSS while shipping {load.lines:,} lines", load.peak_pss_mb, "MB", None, 20.0)
    json_row = (f"peak PSS while shipping {load.lines:,} lines of JSON", json_load.peak_pss_mb, "MB", None, 22.0)
    text_line_row, json_line_row = (
        (what, some[-1].cpu_us_per_record / some[-1].decoding_us, "×", None, limit)
        for what, some, limit in (
            ("that, × decoding its event", loads, 13.0),
            ("that, × decoding its event, of JSON", json_loads, 22.0),
        )
    )
    rows = [
        ("bare interpreter, wall", wall_ms, "ms", None, None),
        ("bare interpreter, CPU", cpu_ms, "ms", None, None),
        ("exec to register", register_ms, "ms", register_ms / wall_ms, 1.14),
        ("exec to first /next", next_ms, "ms", next_ms / wall_ms, 1.16),
        ("CPU of all processes until idle", boot_cpu_ms, "ms", boot_cpu_ms / cpu_ms, 3.2),
        idle_row,
        used_row,
        tls_row,
        ("first invocation held", statistics.median(one.first_held_ms for one in used), "ms", None, None),
        load_row,
        json_row,
        ("CPU per record in that run, all of them shipped", loads[-1].cpu_us_per_record, "µs", None, None),
        text_line_row,
        ("bytes on the wire in that run", loads[-1].wire_kb, "KB", None, 775.0),
        ("CPU per record of JSON", json_loads[-1].cpu_us_per_record, "µs", None, None),
        json_line_row,
        ("bytes on the wire, of JSON", json_loads[-1].wire_kb, "KB", None, None),
        ("CPU per invocation, logs alone", alone, "ms", None, None),
        ("added to it by traces and metrics", added, "ms", None, 0.3),
        ("CPU per invocation, logs alone, policy end", alone_end, "ms", None, None),
        ("added to that by traces and metrics", added_end, "ms", None, 0.3),
        ("CPU per invocation of 20 lines, policy end", at_once_ms, "ms", at_once_ms / cpu_ms, None),
        ("CPU per invocation of 20 lines, policy end, over TLS", over_tls_ms, "ms", over_tls_ms / cpu_ms, None),
        ("held after return, median", held.median_ms, "ms", None, 40.0),
        ("held after return, max", held.max_ms, "ms", None, None),
        ("exec to first /next with the intake, × without", intake_ratio, "×", None, 1.05),
        ("PSS idle, added by the intake", intake_mb, "MB", None, 0.5),
        ("an export of 100 spans, answered after, median", exports.answered_ms, "ms", None, 2.0),
        ("CPU per span of the function's own", exports.cpu_us_per_span, "µs", None, 5.0),
        ("exec to register with a second route, × without", second_asked[0], "×", None, 1.05),
        ("exec to first /next with a second route, × without", second_asked[1], "×", None, 1.05),
        ("CPU until idle with a second route, × without", second_cpu, "×", None, 1.2),
        ("PSS idle, added by a second route", second_mb, "MB", None, 3.5),
        (
            "lost",
            float(sum(some.lost for some in loads + json_loads) + held.lost + exports.lost),
            "records",
            None,
            0.0,
        ),
    ]
    for version, started in versions.items():
        rows.append((f"Python {version}: bare interpreter, wall", started.bare_ms, "ms", None, None))
        for what, value_ms, most in (
            ("exec to register", started.register_ms, 1.5),
            ("exec to first /next", started.next_ms, 1.8),
        ):
            rows.append((f"Python {version}: {what}", value_ms, "ms", value_ms / started.bare_ms, most))
    rows += quota_rows
    table = Table(title=f"Median of {ROUNDS} cold starts; Python {sys.version.split()[0]}")
    for column in ("what", "measured", "× bare", "at most", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    missed = []
    for what, value, unit, ratio, limit in rows:
        is_met = limit is None or (value if ratio is None else ratio) <= limit
        if not is_met:
            missed.append(what)
        shown_limit = "" if limit is None else f"{limit:g} {'×' if ratio is not None else unit}"
        shown_ratio = "" if ratio is None else f"{ratio:.2f} ×"
        verdict = "" if limit is None else "met" if is_met else "[red]missed[/red]"
        table.add_row(
            what,
            f"{value:.2f} {unit}" if unit == "ms" and value < 1 else f"{value:.1f} {unit}",
            shown_ratio,
            shown_limit,
            verdict,
        )
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    figures = [dict(zip(("what", "value", "unit", "ratio", "limit"), row, strict=True)) for row in rows]
    RESULTS.write_text(json.dumps({"python": sys.version, "rounds": ROUNDS, "figures": figures}, indent=1))
    if missed:
        imports = measures.dearest_imports()
        console.print("Dearest imports of a boot (µs self | cumulative | module):", imports, sep="\n")
    memories = (
        (idle_row, pairs[-1][1].memory),
        (used_row, used[-1].memory),
        (tls_row, used_tls[-1].memory),
        (load_row, load.memory),
        (json_row, json_load.memory),
    )
    say_where_memory_is(console, [(row[0], memory) for row, memory in memories if row[0] in missed])
    say_whose_processor(console, missed, reasons)
    for row, some, line in ((text_line_row, loads, plain_line), (json_line_row, json_loads, json_line)):
        if row[0] in missed:
            console.print(f"{row[0]}, by process: {some[-1].processes}; by stage of the shipper:")
            bench_encode.bench(row[0], bench_encode.payload(line), STAGE_ROUNDS)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
