"""Check before you ship: `python -m lifecycle.check [--send] [--all] [--file PATH]`.

Reads the settings from the environment as the extension would, by its own code, and tells a person what it would do:
from a checkout, or from the unpacked layer's `tailrace` directory. What matters comes first: what would be shipped and
where to, what is unusual, what is set; with `--all` every setting there is. With `--send` one record of each signal
goes to each destination, and what is answered is shown. No secret is printed, also none that a backend repeats.

A program of its own, which the extension never loads. That is why this module may name the shipper and read the
environment, which in the extension only `workers` and `__main__` do.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lifecycle import finder

# In an unpacked layer it loads what the extension does, compiled ahead; a checkout has no bundle.
finder.install(__file__.rpartition("/lifecycle/")[0])

from lifecycle.boot import DISABLED, idle_reason, refused_by  # noqa: E402
from lifecycle.contract import lean  # noqa: E402
from lifecycle.contract.log import SHORTEST_SECRET  # noqa: E402
from lifecycle.contract.patterns import HIDDEN, REDACT, read  # noqa: E402
from lifecycle.contract.patterns import problems as pattern_problems  # noqa: E402
from lifecycle.contract.schemes import METRICS, TRACES, scheme_of  # noqa: E402
from lifecycle.contract.setting_types import Patterns, Setting  # noqa: E402
from lifecycle.contract.settings import Settings  # noqa: E402

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
    parser.add_argument("--all", action="store_true", help="show every setting, also what is not set")
    parser.add_argument("--file", metavar="PATH", help="read TAILRACE_SETTINGS_FILE here, and not where it will lie")
    options = parser.parse_args(arguments)
    if options.file:
        environ = {**environ, "TAILRACE_SETTINGS_FILE": options.file}
    settings = Settings(environ)
    fatal = refused_by(settings)
    if not settings.strict:
        settings.problems += pattern_problems(settings)
    write(textwrap.fill(outlook(settings, fatal), WIDTH) + "\n")
    problems = [*setting_problems(settings)]
    for route in settings.routes:
        problems += _checked_route(route, write, name=route.route if len(settings.routes) > 1 else "")
    _write_list("Unusual", unusual(settings), write)
    write("\n".join(["", "Settings", *table(settings, environ, is_whole=options.all), ""]))
    if options.send:
        for route in settings.routes:
            problems += _sent(route, write, name=route.route if len(settings.routes) > 1 else "")
    if not settings.routes:
        problems.append(
            "There is no destination: nothing would be subscribed to or shipped. Set OTEL_EXPORTER_OTLP_ENDPOINT or "
            "TAILRACE_DESTINATION."
        )
    if not problems:
        write("\nAll is well.\n")
        return OK
    _write_list(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", problems, write)
    return HAS_PROBLEMS


def _write_list(title: str, sentences: Iterable[str], write: Callable[[str], object]) -> None:
    """Writes sentences under a title; nothing where there are none."""
    for at, sentence in enumerate(sentences):
        if not at:
            write(f"\n{title}\n")
        write(textwrap.fill(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
        write("\n")


def outlook(settings: Settings, fatal: list[str]) -> str:
    """In a sentence, what the extension would do.

    Args:
        settings: Of the environment.
        fatal: The variables for which the function would not start.
    """
    if fatal:
        names = ", ".join(dict.fromkeys(fatal))
        return f"TAILRACE_STRICT is set: the function would not start with these settings, for {names}."
    reason = idle_reason(settings)
    if reason == DISABLED:
        return "TAILRACE_ENABLED is 0: the extension would stay idle."
    if reason:
        return "Nothing would be shipped: there is no destination."
    parts = []
    for route in settings.routes:
        what = "nothing" if _sends_nothing(route) else _listed(route.exported_signals())
        parts.append(f"{what} by the route {route.route}" if len(settings.routes) > 1 else what)
    return f"The extension would ship {'; '.join(parts)}."


def unusual(settings: Settings) -> Iterator[str]:
    """What is worth knowing of settings that can be used, a sentence each."""
    signals = {signal for route in settings.routes for signal in route.exported_signals()}
    if not settings.routes:
        return
    if settings.api == "logs":
        yield "TAILRACE_API is logs: the superseded Logs API tells of no init."
    if "platform" not in settings.types and signals & {TRACES, METRICS}:
        yield "TAILRACE_TYPES lacks platform, of whose events spans and metrics are made: there would be none."
    if "function" not in settings.types:
        yield "TAILRACE_TYPES lacks function: no line of the function's would be shipped."
    if settings.otlp_intake:
        yield (
            f"The function's own OpenTelemetry SDK would export to the extension, at port {settings.otlp_port} of "
            "loopback, and the extension carry it on."
        )
    if settings.log_level == "debug":
        yield "TAILRACE_LOG_LEVEL is debug: some dozen lines for each invocation, which CloudWatch charges for."
    if not settings.flush_budget_ms:
        yield "No invocation would be held for delivery: TAILRACE_FLUSH_BUDGET_MS is 0."
    for route in settings.routes:
        yield from _unusual_of(route, f" (route {route.route})" if len(settings.routes) > 1 else "")


def _unusual_of(route: Settings, of: str) -> Iterator[str]:
    """The same of one route; `of` says of which, where there are several."""
    if _sends_nothing(route):
        yield f"Nothing would be sent{of}: {route.given[REDACT]} cannot be read, and every record would be dropped."
    if route.sample < 1:
        yield f"A share of {route.sample:.4g} of all invocations, and those that fail, would be shipped{of}."
    if route.min_level:
        yield f"Log records below {route.min_level} would be dropped{of}."
    for name in ("keep", "drop"):
        if route.values[name]:
            yield f"{route.given[name]} decides which log records would be shipped{of}."


def _sends_nothing(route: Settings) -> bool:
    """Whether what is to be redacted cannot be read."""
    return bool(route.redact) and bool(read(route.given[REDACT], route.redact, is_redaction=True).unusable)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "logs"


def _checked_route(settings: Settings, write: Callable[[str], object], *, name: str) -> list[str]:
    """Writes where telemetry of a route would go; returns what is wrong with that."""
    try:
        lean.load()
        from shipper import check
    except ImportError as error:
        return [f"{error}: {WITHOUT_PACKAGES}"]
    route = check.route(settings)
    write(f"\nDestination{f' of route {name}' if name else ''}\n")
    for signal, label in route.labels.items():
        write(f"  {signal:<{NAMES}}{label}\n" if len(route.labels) > 1 else f"  {label}\n")
    for what, text in route.details.items():
        write(f"  {what:<{NAMES}}{text}\n")
    return [_of(name, warning) for warning in route.warnings]


def _of(name: str, problem: str) -> str:
    """A problem of a route; "": there is no other."""
    return f"Route {name}: {problem}" if name else problem


def _sent(settings: Settings, write: Callable[[str], object], *, name: str) -> list[str]:
    """Sends a route's test records, and writes what was answered; returns what is wrong with that."""
    try:
        from shipper import check
    except ImportError:  # which is said already
        return []
    write(f"\nTest records{f' of route {name}' if name else ''}\n")
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
    return [_of(name, f"The {' and the '.join(names)}: {why}") for why, names in refused.items()]


def setting_problems(settings: Settings) -> Iterator[str]:
    """The settings that are not usable, a sentence each."""
    for problem in settings.problems:
        fields = problem.explained()
        value = "" if fields["value"] == HIDDEN else f" got {fields['value']!r},"
        yield f"{fields['variable']}:{value} expected {fields['expected']}; used instead: {fields['used']}."


def table(settings: Settings, environ: Mapping[str, str], *, is_whole: bool) -> Iterator[str]:
    """The settings that are set, or every one, with value, where that comes from, and default."""
    rows = [("", "value", "from", "default")]
    left = 0
    for route in settings.routes or (settings,):
        is_first = not settings.routes or route is settings.routes[0]
        for setting in settings.table():
            variable = route.given.get(setting.attribute, "")
            is_shown = variable or is_whole if is_first else variable.endswith(f"_{route.route.upper()}")
            left += is_first and not is_shown
            if is_shown:
                rows.append(_row(setting, route, variable or setting.variable, environ))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows if len(rows) > 1 else ():
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield "  " + "  ".join([*cells, row[3]])
    if left:
        yield f"  {left} are at their defaults: --all shows them."


def _row(setting: Setting, route: Settings, variable: str, environ: Mapping[str, str]) -> tuple[str, str, str, str]:
    value = shown(setting, route.values[setting.attribute])
    default = setting.shown(setting.default) or "unset"
    unit = f" {setting.unit}" if setting.unit else ""
    return variable, f"{value}{unit}", origin(setting, route, variable, environ), f"{default}{unit}"


def origin(setting: Setting, route: Settings, variable: str, environ: Mapping[str, str]) -> str:
    """Where a setting's value comes from."""
    is_wrong = any(problem.variable == variable and not problem.is_met for problem in route.problems)
    if is_wrong and not isinstance(setting, Patterns):
        is_used = route.values[setting.attribute] != setting.default
        return f"{_where(setting, variable, environ)}, mended" if is_used else "default, not usable"
    return _where(setting, variable, environ) if setting.attribute in route.given else "default"


def _where(setting: Setting, variable: str, environ: Mapping[str, str]) -> str:
    """Where a setting that is set was found."""
    is_in_environ = environ.get(variable, "").strip() or environ.get(setting.also, "").strip()
    return "environment" if is_in_environ else "file"


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
