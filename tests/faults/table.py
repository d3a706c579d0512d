"""The matrix as a table."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tests.faults.play import Played

_NUMBERS = (
    *("delivered", "lost", "platform's", "copies", "held p50", "late p50", "held max", "shutdown", "exit", "MB"),
)


def table(title: str, played: Iterable[Played]) -> Table:
    """One row a cell."""
    made = Table(title=title, title_justify="left", pad_edge=False)
    made.add_column("what goes wrong", no_wrap=True)
    for name in _NUMBERS:
        made.add_column(name, justify="right")
    made.add_column("verdict")
    for one in played:
        got = one.measured
        codes = {str(code) for code, _ in got.exits}
        verdict = Text("met", style="green") if not one.problems else Text("\n".join(one.problems), style="red")
        made.add_row(
            one.cell.name,
            str(got.delivered),
            Text(str(got.lost), style="yellow" if got.lost else ""),
            str(got.kept + got.dropped),
            str(got.copies),
            f"{got.p50_ms:.1f}",
            f"{got.late_p50_ms:.1f}",
            f"{max(got.held_ms):.0f}",
            f"{got.exit_ms:.0f}",
            " ".join(sorted(codes)),
            f"{got.peak_mb:.0f}",
            verdict,
        )
    return made


CAPTION = (
    "Counts are telemetry events, times milliseconds. delivered: arrived, each counted once. lost: the platform handed "
    "them to us and they did not arrive. platform's: it kept or dropped them itself. copies: arrived again under the "
    "same log.record.uid. late p50: the second half of the invocations. shutdown: the slowest, resets included. MB: "
    "the most memory of all processes together."
)
