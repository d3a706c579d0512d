"""Memory and descriptors of each process, sampled; whether they grow."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.cell import NAME
from tests.sandbox import Environment

# A process that leaks has more in the second third of its samples than in the first, and more again in the last.
LEAKED_BYTES = 400_000

# More than this is growth also in one step: a batch of as many events as the platform sends at most leaves 1.3 MB, the
# room for its events (tests/lifecycle/contract/test_heap.py). The log, 2 MB with a process's first line, is loaded
# before.
STEP_BYTES = 2_000_000
DESCRIPTORS = 3

# Fewer samples of a process say nothing: one that was killed has few.
LEAST_SAMPLES = 12

# A process that took another's place has yet to meet its first trouble, and to load what that takes.
SETTLED_S = 20.0


@dataclass(frozen=True)
class Sample:
    """One process at one moment.

    Attributes:
        anonymous_bytes: Its own memory, and its share of what it still has in common with the others. Neither the
            backlog, which is bounded by a setting, nor files: what those count for hangs on who else has them mapped.
        backlog_bytes: Its share of the backlog.
        descriptors: Open ones.
    """

    anonymous_bytes: int
    backlog_bytes: int
    descriptors: int


@dataclass
class Growth:
    """Samples by process name and process id.

    Attributes:
        settled_at: Monotonic seconds from when on a process is looked at.
    """

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)
    settled_at: dict[int, float] = field(default_factory=dict)

    def begin(self, env: Environment) -> None:
        """Remembers those that have been there from the start."""
        self.settled_at.update((process.pid, 0.0) for process in env.processes(NAME))

    def take(self, env: Environment, now_s: float) -> None:
        """Looks at every process of the extension that has settled."""
        for process in env.processes(NAME):
            if now_s < self.settled_at.setdefault(process.pid, now_s + SETTLED_S):
                continue
            sample = _sample(process.pid)
            if sample is not None:
                self.samples.setdefault((process.comm, process.pid), []).append(sample)

    def figures(self) -> dict[str, dict[str, float]]:
        """Early, middle and late medians, by name, of the process that was there the longest."""
        found = {}
        for (comm, _), samples in sorted(self.samples.items(), key=lambda one: len(one[1])):
            if len(samples) < LEAST_SAMPLES:
                continue
            third = len(samples) // 3
            figure = found[comm] = {"most_backlog_bytes": float(max(sample.backlog_bytes for sample in samples))}
            for when, some in (
                ("early", samples[:third]),
                ("middle", samples[third:-third]),
                ("late", samples[-third:]),
            ):
                figure[f"{when}_bytes"] = _median(sample.anonymous_bytes for sample in some)
                figure[f"{when}_descriptors"] = _median(sample.descriptors for sample in some)
        return dict(sorted(found.items()))

    def problems(self) -> Iterable[str]:
        """What grows."""
        for comm, figure in self.figures().items():
            early, middle, late = (figure[f"{when}_bytes"] for when in ("early", "middle", "late"))
            is_leaking = middle > early + LEAKED_BYTES and late > middle + LEAKED_BYTES
            if is_leaking or late > early + STEP_BYTES:
                yield f"{comm}: memory grew from {early / 1e6:.1f} to {middle / 1e6:.1f} to {late / 1e6:.1f} MB"
            before, after = figure["early_descriptors"], figure["late_descriptors"]
            if after > before + DESCRIPTORS:
                yield f"{comm}: descriptors grew from {before:.0f} to {after:.0f}"


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
    return Sample(kib["Pss_Anon"] * 1024, kib["Pss_Shmem"] * 1024, descriptors)
