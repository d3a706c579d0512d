"""Memory and descriptors of each process, sampled; whether they grow."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.cell import NAME
from tests.sandbox import Environment

# A process that leaks has more in the second third of its samples than in the first, and more again in the last. One
# that met its largest batch, or loaded a library, has stepped up once, and stays there.
MEMORY_SHARE = 0.05
MEMORY_BYTES = 500_000
DESCRIPTORS = 3

# Fewer samples say nothing.
LEAST_SAMPLES = 12


@dataclass(frozen=True)
class Sample:
    """One process at one moment; the backlog, which is shared and bounded by a setting, is not in `pss_bytes`."""

    pss_bytes: int
    backlog_bytes: int
    descriptors: int


@dataclass
class Growth:
    """Samples by process name."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def take(self, env: Environment) -> None:
        """Looks at every process of the extension."""
        for process in env.processes(NAME):
            sample = _sample(process.pid)
            if sample is not None:
                self.samples.setdefault(process.comm, []).append(sample)

    def figures(self) -> dict[str, dict[str, float]]:
        """Early and late medians by process."""
        found = {}
        for comm, samples in sorted(self.samples.items()):
            third = len(samples) // 3
            early, middle, late = samples[:third], samples[third : 2 * third], samples[-third:]
            if len(samples) >= LEAST_SAMPLES:
                found[comm] = {
                    "early_pss_bytes": _median(sample.pss_bytes for sample in early),
                    "middle_pss_bytes": _median(sample.pss_bytes for sample in middle),
                    "late_pss_bytes": _median(sample.pss_bytes for sample in late),
                    "early_descriptors": _median(sample.descriptors for sample in early),
                    "late_descriptors": _median(sample.descriptors for sample in late),
                    "most_backlog_bytes": max(sample.backlog_bytes for sample in samples),
                }
        return found

    def problems(self) -> Iterable[str]:
        """What grows."""
        for comm, figure in self.figures().items():
            early, middle, late = (figure[f"{when}_pss_bytes"] for when in ("early", "middle", "late"))
            if _is_more(middle, early) and _is_more(late, middle):
                yield f"{comm}: memory grew from {early / 1e6:.1f} to {middle / 1e6:.1f} to {late / 1e6:.1f} MB"
            before, after = figure["early_descriptors"], figure["late_descriptors"]
            if after > before + DESCRIPTORS:
                yield f"{comm}: descriptors grew from {before:.0f} to {after:.0f}"


def _is_more(later: float, earlier: float) -> bool:
    return later > earlier * (1 + MEMORY_SHARE) + MEMORY_BYTES


def _median(numbers: Iterable[int]) -> float:
    return statistics.median(numbers)


def _sample(pid: int) -> Sample | None:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has just gone
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    kib = {name: int(value.split()[0]) for name, value in fields.items() if name.startswith("Pss")}
    shared = kib.get("Pss_Shmem", 0)
    return Sample((kib["Pss"] - shared) * 1024, shared * 1024, descriptors)
