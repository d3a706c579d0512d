"""The sandbox on the command line: run any extensions and any handler, say what happened."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sandbox import Destination, Environment, Function, Platform
from tests.sandbox.model import FLAVOURS
from tests.sandbox.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = """\
example:
  python -m tests.sandbox --extensions build/layer/extensions --task-root examples/hello \\
      --handler app.handler --invocations 3 --payload '{"n": 1}' --destination

exit status:
  0  every invocation got through, or failed by the function's own doing
  1  an invocation failed, or a shutdown was not clean, because of an extension
  2  wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.sandbox",
        description="Lambda on a laptop: runs a directory of extensions and a handler, and says what happened.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    function = made.add_argument_group("the function")
    function.add_argument("--handler", default="app.handler", metavar="MODULE.NAME", help="default %(default)s")
    function.add_argument("--task-root", type=Path, default=Path(), metavar="DIR", help="where its code lies")
    function.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    function.add_argument("--timeout", type=float, default=3.0, metavar="S", help="default %(default)s")
    function.add_argument("--memory", type=int, default=128, metavar="MB", help="default %(default)s")
    function.add_argument("--log-format", choices=("Text", "JSON"), default="Text")
    function.add_argument("--name", default="demo", help="the function's name, default %(default)s")
    function.add_argument("--runtime-command", metavar="COMMAND", help="instead of python -m awslambdaric HANDLER")
    function.add_argument("--python", type=Path, default=Path(sys.executable), help="its interpreter")
    platform = made.add_argument_group("the platform")
    platform.add_argument("--extensions", type=Path, required=True, metavar="DIR", help="as in /opt/extensions")
    platform.add_argument("--flavour", choices=FLAVOURS, default="on-demand")
    platform.add_argument("--freeze", action=argparse.BooleanOptionalAction, default=True, help="between invocations")
    platform.add_argument("--tracing", action=argparse.BooleanOptionalAction, default=True, help="an X-Ray header")
    platform.add_argument("--sampled", action=argparse.BooleanOptionalAction, default=True, help="X-Ray's decision")
    platform.add_argument("--shutdown-ms", type=int, default=2000, metavar="MS", help="SIGKILL after this")
    platform.add_argument("--duplicate-every", type=int, default=0, metavar="K", help="redeliver each K-th batch")
    platform.add_argument("--subscribe-fault", choices=("202", "400", "403", "500", "drop"))
    platform.add_argument("--concurrency", type=int, default=2, help="on managed instances")
    run = made.add_argument_group("the run")
    run.add_argument("--invocations", type=int, default=1, metavar="N", help="default %(default)s")
    run.add_argument("--payload", default="{}", metavar="JSON", help="of every invocation")
    run.add_argument("--pause", type=float, default=0.0, metavar="S", help="between invocations, frozen")
    run.add_argument(
        "--destination",
        action="store_true",
        help="embed a backend and set OTEL_EXPORTER_OTLP_ENDPOINT to it",
    )
    run.add_argument("--destination-file", type=Path, metavar="FILE", help="append what it gets, as JSON lines")
    run.add_argument("--events", action="store_true", help="print every telemetry event")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says.

    Returns:
        The exit status.
    """
    made = parser()
    options = made.parse_args(arguments)
    try:
        payload = json.loads(options.payload)
    except ValueError as exc:
        made.error(f"--payload: {exc}")
    environ = {}
    for entry in options.env:
        name, equals, value = entry.partition("=")
        if not equals:
            made.error(f"--env: got {entry!r}, expected NAME=VALUE")
        environ[name] = value
    for option, directory in (("--extensions", options.extensions), ("--task-root", options.task_root)):
        if not directory.is_dir():
            made.error(f"{option}: no directory {directory}")
    with ExitStack() as stack:
        backend = None
        if options.destination or options.destination_file:
            backend = stack.enter_context(Destination(file=options.destination_file))
            environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url)
        env = stack.enter_context(
            Environment(options.extensions.resolve(), _function(options, environ), _platform(options))
        )
        report = Report(env, backend, show_events=options.events)
        report.init(env.start())
        for number in range(1, options.invocations + 1):
            if number > 1:
                env.idle(options.pause)
            report.invocation(number, env.invoke(payload))
        report.ending(env.shutdown())
        return 1 if report.extension_failed else 0


def _function(options: argparse.Namespace, environ: dict[str, str]) -> Function:
    return Function(
        handler=options.handler,
        task_root=options.task_root.resolve(),
        timeout_s=options.timeout,
        memory_mb=options.memory,
        name=options.name,
        environ=environ,
        log_format=options.log_format,
        runtime_command=shlex.split(options.runtime_command) if options.runtime_command else None,
        python=options.python,
    )


def _platform(options: argparse.Namespace) -> Platform:
    fault = options.subscribe_fault
    scripted: Any = int(fault) if fault and fault.isdigit() else fault
    return Platform(
        flavour=options.flavour,
        freeze=options.freeze,
        tracing=options.tracing,
        sampled=options.sampled,
        shutdown_ms=options.shutdown_ms,
        duplicate_every=options.duplicate_every,
        concurrency=options.concurrency,
        subscribe_fault=scripted,
    )


if __name__ == "__main__":
    sys.exit(main())
