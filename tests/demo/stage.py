"""What a person watches: the steps as they happen, and the last word. Fits 80 columns, decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from rich.console import Console
    from typing_extensions import Self

    from tests.demo.facts import Told
    from tests.demo.summary import Verdict

WHY_SO_FEW = {
    "adaptive": "What has not arrived yet waits in the extension and goes with an invocation to\n"
    " come. Where one is expected soon, no finished one is held for its records.",
    "end": "Each invocation is held until its lines have arrived; its report comes later.",
    "interval": "What has not arrived yet waits in the extension, 10 s at most, or until the end.",
}


class Stage:
    """Shows the steps: each as a line when it has ended, and what is under way as a bar on a terminal."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=steps)
        self._doing = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._print("what happens", "what comes of it", "billed", "held", "arrived", "bold")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def doing(self, what: str) -> None:
        """A step begins."""
        self._progress.update(self._task, description=what, advance=1 if self._doing else 0)
        self._doing = True

    def told(self, step: Told) -> None:
        """A step has ended."""
        billed = "" if step.billed_ms is None else f"{step.billed_ms} ms"
        held = "" if step.held_ms is None else f"{step.held_ms:.0f} ms"
        arrived = f"{step.arrived} of {step.emitted}"
        self._print(step.title, step.outcome, billed, held, arrived, "red" if step.surprise else "")

    def _print(self, title: str, outcome: str, billed: str, held: str, arrived: str, style: str) -> None:
        line = f" {title:<25}{outcome:<26}{billed:>8}{held:>7}{arrived:>11}"
        self._console.print(Text(line, style=style, no_wrap=True))


def heading(console: Console) -> None:
    """Says what one is about to see."""
    console.print("[bold]Tailrace, delivering the logs of a function[/bold]")
    console.print(
        "A Python function on a Lambda-like sandbox, the built layer beside it, and a\n"
        "backend that speaks OTLP. All of it on this machine, no account needed.\n"
    )


def closing(console: Console, said: Verdict, complaints: list[str], files: dict[str, Path]) -> None:
    """Where to read more, what the extension complained of, and the last word."""
    for what, path in files.items():
        console.print(f" {what}: {path}", soft_wrap=True, highlight=False)
    for line in complaints:
        console.print(Text(f" The extension said: {line}", style="yellow"), soft_wrap=True)
    for problem in said.problems:
        console.print(Text(f" Not as it should be: {problem}", style="red"), soft_wrap=True)
    console.print()
    counted = f"{min(said.arrived, said.emitted)} of {said.emitted} records, lost {said.lost}"
    if said.exit_status == 0:
        console.print(Text(f"Everything the platform delivered arrived: {counted}.", style="bold green"))
    elif said.lost:
        console.print(Text(f"Not everything the platform delivered arrived: {counted}.", style="bold red"))
    else:
        console.print(Text(f"Every record arrived ({counted}), but something went wrong.", style="bold red"))
