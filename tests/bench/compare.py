"""Holds this tree's layer against another one, unpacked: `python -m tests.bench.compare OTHER/extensions [--rounds N]`.

The two are measured in turn, so what else the machine does hits both alike. Beside each ratio stands how much two runs
of the same layer differ: a difference within that is none.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import measures

# What each process has loaded, in the order in which it comes to pass.
STAGES = {
    "until the first event is asked for": "import lifecycle.__main__",
    "supervisor": "import lifecycle.supervisor",
    "collector": "import lifecycle.supervisor, collector.{collector}",
    "shipper": "import lifecycle.supervisor, shipper.worker",
}


def modules(extensions: Path, stage: str) -> int:
    """How many modules of ours a process has imported at a stage."""
    library = extensions.parent / "tailrace"
    code = stage.format(collector="worker" if (library / "collector" / "worker.py").exists() else "server")
    lean = next(library.glob("lifecycle/**/lean.py")).relative_to(library).with_suffix("")
    program = f"""
import sys
sys.path.insert(0, {str(library.resolve())!r})
import {".".join(lean.parts)} as lean
lean.load()
{code}
print(sum(name.partition(".")[0] in ("lifecycle", "collector", "shipper") for name in sys.modules))
"""
    return int(
        subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout
    )


def figures(extensions: Path) -> dict[str, float]:
    """One measurement of each figure."""
    boot = measures.boot(extensions)
    used = measures.used(1, extensions)
    text = measures.load(flush="end", extensions=extensions)
    json = measures.load(flush="end", is_json=True, extensions=extensions)
    return {
        "exec to register, ms": boot.register_ms,
        "exec to first /next, ms": boot.next_ms,
        "CPU until idle, ms": boot.cpu_ms,
        "PSS idle, MB": boot.pss_mb,
        "first invocation held, ms": used.first_held_ms,
        "CPU per invocation shipped at once, ms": measures.cpu_shipped_at_once_ms(tls=False, extensions=extensions),
        "likewise over TLS, ms": measures.cpu_shipped_at_once_ms(tls=True, extensions=extensions),
        "CPU until idle after it, ms": used.cpu_ms,
        "PSS idle after it, MB": used.pss_mb,
        "CPU for a text line, µs": text.cpu_us_per_record,
        "CPU for a JSON line, µs": json.cpu_us_per_record,
        "peak PSS, text, MB": text.peak_pss_mb,
        "peak PSS, JSON, MB": json.peak_pss_mb,
    }


def spread(values: list[float]) -> float:
    """Half of the middle half of the values, beside their median: how much two runs of the same usually differ."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / statistics.median(values)


def main() -> int:
    """Runs everything and prints the table; always 0: a person judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="extensions/ of an unpacked layer")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    console = Console()
    ours: list[dict[str, float]] = []
    others: list[dict[str, float]] = []
    with console.status("Measuring …"):
        for number in range(arguments.rounds):
            first, second = (others, ours) if number % 2 else (ours, others)
            for results in (first, second):
                results.append(figures(measures.EXTENSIONS if results is ours else arguments.other))
    table = Table(title=f"Medians of {arguments.rounds} in turn; Python {sys.version.split()[0]}")
    for column in ("what", "other", "this", "ratio", "±"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what in ours[0]:
        before, after = [one[what] for one in others], [one[what] for one in ours]
        ratio = statistics.median(now / then for now, then in zip(after, before, strict=True))
        middle = (f"{statistics.median(values):.2f}" for values in (before, after))
        table.add_row(what, *middle, f"{ratio:.3f}", f"{spread(before):.3f}")
    for name, stage in STAGES.items():
        before_count, after_count = modules(arguments.other, stage), modules(measures.EXTENSIONS, stage)
        ratio = after_count / before_count
        table.add_row(f"modules, {name}", str(before_count), str(after_count), f"{ratio:.3f}", "")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
