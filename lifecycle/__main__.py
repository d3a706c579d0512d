"""What the launcher calls: boot, then supervise, and whatever happens keep the function running."""

import _signal  # type: ignore[import-not-found]
import gc
import os
import posix
import sys
from time import sleep

from lifecycle.boot import DISABLED, NotRegisteredError, StrictError, boot, report_init_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.boot import Booted
    from lifecycle.contract.log import Log
    from lifecycle.contract.settings import Settings


# What a last resort that cannot be loaded is given: descriptors may be short for a while.
LOAD_TRIES = 50
LOAD_PAUSE_S = 0.1


def main(name: str) -> None:
    """Runs the extension to its end; does not return.

    Args:
        name: The launcher's file name, by which the platform knows the extension.
    """
    try:
        booted = boot(_environ(), name)
    except NotRegisteredError as exc:
        sys.stderr.write(f"tailrace: not registered with the Lambda platform, so nothing will be shipped: {exc}\n")
        os._exit(1)
    except StrictError as exc:
        settings = exc.booted.settings
        _say_problems(_log(settings), settings)
        report_init_error(exc)
        os._exit(1)
    os._exit(_run(booted))


def _environ() -> dict[str, str]:
    """The environment as `os.environ` has it: to load `os` would take a twelfth of what the bare interpreter takes."""
    encoding = sys.getfilesystemencoding()
    return {
        name.decode(encoding, "surrogateescape"): value.decode(encoding, "surrogateescape")
        for name, value in posix.environ.items()
    }


def _run(booted: "Booted") -> int:
    if not booted.idle_reason:
        try:
            gc.disable()  # loading makes nothing to collect; the supervisor switches it on again
            from lifecycle.contract import lean

            lean.load()
            from lifecycle.supervisor import supervise

            return supervise(booted)
        except Exception:  # noqa: BLE001 - whatever it is, the function must not notice
            booted.close_listeners()  # a refused connection is clearer to the platform than one that nobody accepts
            _say_crashed(booted)
    else:
        _say_idle(booted)
    for _ in range(LOAD_TRIES):
        try:
            from lifecycle.noop import stay
        except (ImportError, OSError):
            sleep(LOAD_PAUSE_S)
        else:
            return stay(booted)
    return 1


def _say_crashed(booted: "Booted") -> None:
    try:
        from traceback import format_exc

        _log(booted.settings).error("lifecycle.crashed", traceback=format_exc(), effect="nothing more is shipped")
    except Exception:  # noqa: BLE001 - there is nothing to say it with
        return


def _say_idle(booted: "Booted") -> None:
    """Says why nothing is shipped, in a child: the first invocation is not to wait for the log to be loaded."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel reaps it
    try:
        if os.fork():
            return
    except OSError:  # no process to be had: so it waits, once
        _say_why_idle(booted)
        return
    try:
        _say_why_idle(booted)
    finally:
        os._exit(0)


def _say_why_idle(booted: "Booted") -> None:
    log = _log(booted.settings)
    _say_problems(log, booted.settings)
    say = log.info if booted.idle_reason["reason"] == DISABLED else log.warning
    say("lifecycle.idled", effect="nothing is shipped; the function is not affected", **booted.idle_reason)


def _say_problems(log: "Log", settings: "Settings") -> None:
    for problem in settings.problems:
        log.warning("settings.value_ignored", **problem.explained())


def _log(settings: "Settings") -> "Log":
    from lifecycle.contract.log import Log

    return Log("lifecycle", settings.log_level, settings.secrets())


if __name__ == "__main__":
    main("tailrace")
