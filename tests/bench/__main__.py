"""Measures what the extension costs and holds it against what was promised.

Every figure of a cold start stands beside the bare interpreter, measured in turn with it, since machines are noisy.
"""

import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import measures

ROUNDS = 15
RESULTS = Path("build/bench.json")


def main() -> int:
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
        status.update("60,000 lines in three invocations …")
        load = measures.load()
        status.update("20 held invocations …")
        held = measures.held()
    wall_ms = statistics.median(bare.wall_ms for bare, _ in pairs)
    cpu_ms = statistics.median(bare.cpu_ms for bare, _ in pairs)
    register_ms = statistics.median(boot.register_ms for _, boot in pairs)
    next_ms = statistics.median(boot.next_ms for _, boot in pairs)
    boot_cpu_ms = statistics.median(boot.cpu_ms for _, boot in pairs)
    rows = [
        ("bare interpreter, wall", wall_ms, "ms", None, None),
        ("bare interpreter, CPU", cpu_ms, "ms", None, None),
        ("exec to register", register_ms, "ms", register_ms / wall_ms, 1.5),
        ("exec to first /next", next_ms, "ms", next_ms / wall_ms, 1.8),
        ("CPU of all processes until idle", boot_cpu_ms, "ms", boot_cpu_ms / cpu_ms, 8.0),
        ("PSS of all processes, idle", statistics.median(boot.pss_mb for _, boot in pairs), "MB", None, 17.0),
        (f"peak PSS while shipping {load.lines:,} lines", load.peak_pss_mb, "MB", None, 30.0),
        ("CPU per record in that run", load.cpu_us_per_record, "µs", None, 6.0),
        ("held after return, median", held.median_ms, "ms", None, 40.0),
        ("held after return, max", held.max_ms, "ms", None, None),
        ("lost", float(load.lost + held.lost), "records", None, 0.0),
    ]
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
        table.add_row(what, f"{value:.1f} {unit}", shown_ratio, shown_limit, verdict)
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    figures = [dict(zip(("what", "value", "unit", "ratio", "limit"), row, strict=True)) for row in rows]
    RESULTS.write_text(json.dumps({"python": sys.version, "rounds": ROUNDS, "figures": figures}, indent=1))
    if missed:
        console.print("Dearest imports of a boot (µs self | cumulative | module):", measures.profile(), sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
