"""One page of plots: the policies beside one another."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.fleet.summary import WINDOW_S, Summary

COLOURS = ("tab:blue", "tab:red", "tab:orange", "tab:green")


def draw(summaries: Sequence[Summary], path: Path) -> list[Path]:
    """Draws the same scenario by several policies, as PNG and SVG.

    Args:
        summaries: Of the policies.
        path: Of the files, without a suffix.

    Returns:
        The files.
    """
    mpl.rcParams["svg.hashsalt"] = "fleet"  # the same figures are the same file
    scenario = summaries[0].scenario
    figure = Figure(figsize=(12, 8), layout="constrained")
    requests, waiting, ages, holds = figure.subplots(2, 2).flat
    minutes = [at / 60 for at in range(0, scenario.duration_s, WINDOW_S)]
    for summary, colour in zip(summaries, COLOURS, strict=False):
        name = summary.scenario.policy
        count, rate = summary.scenario.environments, summary.scenario.requests_s
        requests.plot(minutes, [one / rate for one in summary.asked], color=colour, label=name, lw=1)
        waiting.plot(minutes, [one / count for one in summary.waits], color=colour, label=name, lw=1)
        ages.plot(minutes, [max(age[0], 0.01) for age in summary.ages], color=colour, label=f"{name}, p50", lw=1)
        ages.plot(minutes, [max(age[1], 0.01) for age in summary.ages], color=colour, ls=":", lw=1)
        holds.plot(minutes, [max(one / count, 1e-4) for one in summary.holds], color=colour, label=name, lw=1)
    requests.axhline(1.0, color="black", lw=0.8, ls="--")
    requests.set(title="Requests a second, as a multiple of the capacity", yscale="log")
    waiting.set(title="Invocations an environment whose lines wait (or were dropped)")
    ages.set(title="Age at arrival, seconds (dotted: p99)", yscale="log")
    holds.set(title="Share of environments that are held after the end of an invocation", yscale="log")
    for axes in (requests, waiting, ages, holds):
        for trouble in scenario.troubles:
            axes.axvspan(trouble.begins_s / 60, trouble.ends_s / 60, color="0.9", zorder=0)
        axes.set(xlabel="minutes", xlim=(0, scenario.duration_s / 60))
    requests.legend(fontsize=8)
    figure.suptitle(
        f"{scenario.environments:,} environments, one invocation each every {scenario.gap_s:g} s on average; "
        f"grey: no backend"
    )
    files = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files
