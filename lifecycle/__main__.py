"""What the launcher calls: boot, then supervise, and whatever happens keep the function running."""

import _signal  # type: ignore[import-not-found]
import gc
import os
import sys

from lifecycle.boot import NotRegisteredError, StrictError, boot, report_init_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.boot import Booted
    from lifecycle.contract.log import Log
    from lifecycle.contract.settings import Settings


def main(name: str) -> None:
    """Runs the extension to its end; does not return.

    Args:
        name: The launcher's file name, by which the platform knows the extension.
    """
    try:
        booted = boot(os.environ, name)
    except NotRegisteredError as exc:
        sys.stderr.write(f"tailrace: not registered with the Lambda platform, so nothing will be shipped: {exc}\n")
        os._exit(1)
    except StrictError as exc:
        settings = exc.booted.settings
        _say_problems(_log(settings), settings)
        report_init_error(exc)
        os._exit(1)
    os._exit(_run(booted))


def _run(booted: "Booted") -> int:
    if not booted.idle_reason:
        try:
            gc.disable()  # loading makes nothing to collect; the supervisor switches it on again
            from lifecycle.contract import lean

            lean.load()
            from lifecycle.supervisor import supervise

            return supervise(booted)
        except Exception:  # noqa: BLE001 - whatever it is, the function must not notice
            from traceback import format_exc

            _log(booted.settings).error("lifecycle.crashed", traceback=format_exc(), effect="nothing more is shipped")
    else:
        _say_idle(booted)
    from lifecycle.noop import stay

    return stay(booted)


def _say_idle(booted: "Booted") -> None:
    """Says why nothing is shipped, in a child: the first invocation is not to wait for the log to be loaded."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel reaps it
    if os.fork():
        return
    try:
        log = _log(booted.settings)
        _say_problems(log, booted.settings)
        say = log.info if booted.idle_reason["reason"] == "disabled" else log.warning
        say("lifecycle.idled", effect="nothing is shipped; the function is not affected", **booted.idle_reason)
    finally:
        os._exit(0)


def _say_problems(log: "Log", settings: "Settings") -> None:
    for problem in settings.problems:
        log.warning("settings.value_ignored", **problem.explained())


def _log(settings: "Settings") -> "Log":
    from lifecycle.contract.log import Log

    return Log("lifecycle", settings.log_level, settings.secrets())


if __name__ == "__main__":
    main("tailrace")
