"""Check before you ship: `python -m lifecycle.check [--send]`.

Reads the settings from the environment as the extension would, and shows a person what it would make of them: from
a checkout, or from the unpacked layer's `tailrace` directory. With `--send` one record of each signal goes to the
destination, and what is answered is shown. No secret is printed, also none that a backend repeats.

A program of its own, which the extension never loads. That is why this module may name the shipper and read the
environment, which in the extension only `workers` and `__main__` do.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping

from lifecycle.contract.log import SHORTEST_SECRET
from lifecycle.contract.patterns import HIDDEN
from lifecycle.contract.patterns import problems as pattern_problems
from lifecycle.contract.schemes import scheme_of
from lifecycle.contract.setting_types import Setting
from lifecycle.contract.settings import Settings

OK = 0
HAS_PROBLEMS = 1

WITHOUT_PACKAGES = (
    "this Python lacks what Tailrace is built on. Take .venv/bin/python in a checkout, after make -f layer.mk venv; in "
    "an unpacked layer's tailrace directory a Python that it was built for, or python/bin/python3 if it brings one."
)

WIDTH = 120

# Columns for what a line is about.
NAMES = 13


def main(environ: Mapping[str, str], arguments: list[str], write: Callable[[str], object]) -> int:
    """Shows what the settings come to.

    Args:
        environ: The environment to read, as the function's configuration has it.
        arguments: Of the command line.
        write: Takes the text, piece by piece.

    Returns:
        Exit status: 0 when all is well, 1 when a setting is not usable, nothing would be shipped or a test record
        was not taken. (argparse ends with 2 when the command line is wrong.)
    """
    parser = argparse.ArgumentParser(
        prog="python -m lifecycle.check",
        description="Shows what Tailrace makes of this environment's settings.",
        epilog="Exit status: 0 when all is well; 1 when a setting cannot be used, nothing would be shipped, or a "
        "test record was not taken; 2 when the command line is wrong.",
    )
    parser.add_argument(
        "--send", action="store_true", help="deliver one test record of each signal and say what was answered"
    )
    options = parser.parse_args(arguments)
    settings = Settings(environ)
    settings.problems += pattern_problems(settings)
    problems = [*setting_problems(settings)]
    write("\n".join(["Settings", *table(settings, environ), ""]))
    if settings.has_destination:
        problems += _checked_route(settings, write, sends=options.send)
    else:
        problems.append(
            "There is no destination: nothing would be subscribed to or shipped. Set OTEL_EXPORTER_OTLP_ENDPOINT or "
            "TAILRACE_DESTINATION."
        )
    if not settings.enabled:
        write("\nTAILRACE_ENABLED is 0: the extension would stay idle.\n")
    if not problems:
        write("\nAll is well.\n")
        return OK
    write(f"\n{len(problems)} problem{'s' if len(problems) > 1 else ''}\n")
    for problem in problems:
        write(textwrap.fill(problem, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
        write("\n")
    if settings.strict and any(problem.is_fatal for problem in settings.problems):
        write("\nTAILRACE_STRICT is set: the function would not start with these settings.\n")
    return HAS_PROBLEMS


def _checked_route(settings: Settings, write: Callable[[str], object], *, sends: bool) -> list[str]:
    """Writes where telemetry would go, and what was answered there; returns what is wrong with it."""
    try:
        from shipper import check
    except ImportError as error:
        return [f"{error}: {WITHOUT_PACKAGES}"]
    route = check.route(settings)
    write("\nDestination\n")
    for signal, label in route.labels.items():
        write(f"  {signal:<{NAMES}}{label}\n" if len(route.labels) > 1 else f"  {label}\n")
    for name, text in route.details.items():
        write(f"  {name:<{NAMES}}{text}\n")
    if not sends:
        return route.warnings
    write("\nTest records\n")
    sys.stdout.flush()  # a destination may be standard output itself
    refused: dict[str, list[str]] = {}
    for answered in check.send(settings):
        write(f"  {answered.signal:<{NAMES}}{answered.said} in {answered.took_ms:.0f} ms\n")
        if answered.body:
            # Not wrapped: what is found in it is to be found by those who search for it.
            write(f"  {'':<{NAMES}}{answered.body}\n")
        if not answered.is_well:
            why = f"not taken: {answered.said}. {answered.advice}".rstrip()
            refused.setdefault(why, []).append(f"test {check.RECORDS[answered.signal]}")
    return [*route.warnings, *(f"The {' and the '.join(names)}: {why}" for why, names in refused.items())]


def setting_problems(settings: Settings) -> Iterator[str]:
    """The settings that are not usable, a sentence each."""
    for problem in settings.problems:
        fields = problem.explained()
        value = "" if fields["value"] == HIDDEN else f" got {fields['value']!r},"
        yield f"{fields['variable']}:{value} expected {fields['expected']}; used instead: {fields['used']}."


def table(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Every setting with its value, where that comes from, and its default."""
    rows = [("", "value", "from", "default")]
    for setting in settings.table():
        value = shown(setting, settings.values[setting.attribute])
        default = setting.shown(setting.default) or "unset"
        unit = f" {setting.unit}" if setting.unit else ""
        rows.append((setting.variable, f"{value}{unit}", origin(setting, settings, environ), f"{default}{unit}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield "  " + "  ".join([*cells, row[3]])


def origin(setting: Setting, settings: Settings, environ: Mapping[str, str]) -> str:
    """Where a setting's value comes from."""
    if any(problem.variable == setting.variable for problem in settings.problems):
        is_used = settings.values[setting.attribute] != setting.default
        return "environment, mended" if is_used else "default, not usable"
    is_set = environ.get(setting.variable, "").strip() or environ.get(setting.also, "").strip()
    return "environment" if is_set else "default"


def shown(setting: Setting, value: object) -> str:
    """A value as it may be printed: of a secret, what does not give it away."""
    if not value and value is not False and value != 0:
        return "unset"
    if not setting.secret:
        return setting.shown(value)
    if isinstance(value, tuple):
        return ",".join(f"{name}={HIDDEN}" for name, _ in value)
    scheme = scheme_of(str(value)) if setting.attribute == "destination" else None
    return address_shown(str(value), hides_path=scheme is not None and scheme.path_is_secret)


def address_shown(text: str, *, hides_path: bool = False) -> str:
    """An address without its user, query and fragment: scheme, host and path, as the log would name it.

    Args:
        text: The address.
        hides_path: Whether the path is left out as well.
    """
    scheme, slashes, rest = text.partition("//")
    if not slashes:
        scheme, rest = "", text
    ends = [at for at in map(rest.find, "?#") if at >= 0]
    cut = min(ends, default=len(rest))
    authority, slash, path = rest[:cut].partition("/")
    _, at, host = authority.rpartition("@")
    if "@" in rest[cut:] and not slash:  # what was cut may be the end of a password
        host, cut = "", 0
    if hides_path and len(path) >= SHORTEST_SECRET:
        path = HIDDEN
    return f"{scheme}{slashes}{HIDDEN + '@' if at else ''}{host}{slash}{path}{HIDDEN if cut < len(rest) else ''}"


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:], sys.stdout.write))
