"""Writes docs/settings.md from the table in lifecycle/contract/settings.py: `python -m tools.settings_page`.

The words are the table's; this module owns how the page is divided and laid out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle.contract.setting_types import EVERY_ROUTE, ONE_ROUTE, OTLP_PREFIX, PREFIX, Setting
from lifecycle.contract.settings import Settings

PAGE = Path("docs/settings.md")

INTRODUCTION = f"""\
# Settings

<!-- Written by `make docs` from the table in lifecycle/contract/settings.py. Change it there. -->

Every setting is an environment variable of the function. None is required: without a destination Tailrace
says so once and stays out of the way.

- An empty variable is an unset one. Choices and flags may be written in either case.
- A bad value is a warning in the extension's log, and the default is used. `{PREFIX}STRICT=1` makes it an
  init error instead, but for OpenTelemetry's variables, which are never fatal. Of headers, a bad one does not take the
  good ones with it.
- A `{PREFIX}` or `{OTLP_PREFIX}` name that is not here is a warning that names the nearest setting.
- `{PREFIX}DESTINATION_ARCHIVE` makes a further [route](routes.md) of the name `archive`. What is marked *of each
  route* may end in such a name, and is then that route's; without one it is for all. What is marked *of one route* is
  never for all: without a name it is the first route's alone.
- A value marked *secret* appears in no log line, error or crash report.

## In a file

Lambda gives all of a function's variables together 4 KB. What does not fit may stand in a file beside the code or in a
layer, which `{PREFIX}SETTINGS_FILE=/var/task/tailrace.env` names:

```
# of every function
{PREFIX}DESTINATION=otlp+https://collector.example.com
{PREFIX}HEADERS=api-key=@{{secretsmanager:tailrace/api-key}}
{PREFIX}DESTINATION_ARCHIVE=s3://archive/lambda
```

- A line is `NAME=VALUE`; quotes around a value are no part of it. Blank lines, and those that begin with `#`, are none.
  Of a name that stands there twice the last is used.
- What the environment has is used, and not what the file has.
- Every setting on this page is taken, with a route's name behind it where that may stand, and nothing else. A line that
  is none, and a name that is no setting, is a warning with the line's number. A file that cannot be read, or has more
  than 64 KB, is one warning, and nothing of it is used.
- **What others read stays in the environment**: `AWS_LAMBDA_EXEC_WRAPPER`, what the wrapper and the function's own
  OpenTelemetry SDK are to see (`{PREFIX}OTLP_PORT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, its exporters),
  and every `AWS_…`. In the file the first three of these are the extension's alone.
- A secret as it is gets a hint: the file is in every archive and checkout of the function. A [reference](secrets.md)
  says nothing.

`python -m lifecycle.check --file tailrace.env` reads it where it lies here."""


@dataclass(frozen=True)
class Chapter:
    """A part of the page.

    Attributes:
        title: Its heading.
        first: The setting it begins with; it ends where the next one begins.
        about: What stands under the heading.
    """

    title: str
    first: str
    about: str = ""


CHAPTERS = (
    Chapter("Tailrace's own: the extension", "TAILRACE_ENABLED"),
    Chapter("Tailrace's own: where telemetry goes", "TAILRACE_DESTINATION"),
    Chapter("Tailrace's own: what the platform delivers, and how", "TAILRACE_TYPES"),
    Chapter(
        "Tailrace's own: what leaves",
        "TAILRACE_PLATFORM_LOGS",
        "Rules work before anything leaves, in the order sample, severity, keep, drop, redact. Patterns are Python's\n"
        "regular expressions, separated by semicolons; one that is meant is written `\\;`. One of KEEP or DROP\n"
        "that does not compile is a warning and ignored; with one of REDACT nothing is sent where it applies.\n"
        "[telemetry.md](telemetry.md) has more about each.",
    ),
    Chapter("Tailrace's own: when to ship", "TAILRACE_FLUSH"),
    Chapter("Tailrace's own: limits", "TAILRACE_BACKLOG_BYTES"),
    Chapter(
        "OpenTelemetry's",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "They mean what they mean in every OpenTelemetry SDK: a function that has them set needs no others.\n"
        "`OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_LOGS_EXPORTER` are the SDK's\n"
        "in the function: Tailrace ignores them.",
    ),
    Chapter("Proxies", "HTTPS_PROXY", "The names that most programs read, in capitals or not."),
    Chapter(
        "Certificates",
        "SSL_CERT_FILE",
        "OpenSSL's names, for every destination. A file that is missing, or has no certificate in it, is a warning\n"
        "that names it (`shipper.certificate_ignored`), and is gone on without. So it is with OpenTelemetry's files.",
    ),
)

HEAD = "| variable | takes | default | |\n|---|---|---|---|"

MEBIBYTE = 1 << 20
KIBIBYTE = 1 << 10


class PageError(Exception):
    """The table and the page's chapters do not fit together."""


def page(chapters: tuple[Chapter, ...] = CHAPTERS) -> str:
    """The page's text.

    Args:
        chapters: How it is divided, in the table's order.

    Raises:
        PageError: A chapter begins with a setting that the table does not have where it should be.
    """
    parts = [INTRODUCTION]
    unwritten = list(chapters)
    for setting in Settings.table():
        if unwritten and setting.variable == unwritten[0].first:
            parts.append(heading(unwritten.pop(0)))
        elif len(parts) == 1:
            raise PageError(f"got {setting.variable} as the table's first row, expected {chapters[0].first}")
        parts.append(row(setting))
    if unwritten:
        raise PageError(f"no row {unwritten[0].first} after those before it, expected the first of a chapter")
    return "\n".join(parts) + "\n"


def heading(chapter: Chapter) -> str:
    """A chapter's heading, what it says, and its table's head."""
    lines = [f"\n## {chapter.title}\n"]
    if chapter.about:
        lines.append(f"{chapter.about}\n")
    lines.append(HEAD)
    return "\n".join(lines)


def row(setting: Setting) -> str:
    """A setting's line in the table."""
    cells = (f"`{setting.variable}`", takes(setting), default(setting), about(setting))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def takes(setting: Setting) -> str:
    """What the setting takes; a list of words in the words' own type."""
    options = getattr(setting, "options", ())
    if not options:
        return setting.expected
    text, before, after = setting.expected.partition(", ".join(options))
    return text + (", ".join(f"`{option}`" for option in options) if before else "") + after


def default(setting: Setting) -> str:
    """The default as one would write it, sizes also as one says them."""
    text = setting.shown(setting.default)
    if not text:
        return "unset"
    spoken = f" ({spoken_size(setting.default)})" if setting.unit == "bytes" else ""
    return f"`{text}`{spoken}"


def spoken_size(size_bytes: int) -> str:
    """A size in the unit that makes it short."""
    if size_bytes % MEBIBYTE == 0:
        return f"{size_bytes // MEBIBYTE} MiB"
    return f"{size_bytes // KIBIBYTE} KiB"


def about(setting: Setting) -> str:
    """The line about the setting, other settings' names in code type."""
    words = "".join(marked_names(setting.about))
    words += {EVERY_ROUTE: " *Of each route.*", ONE_ROUTE: " *Of one route.*"}.get(setting.scope, "")
    return f"{words} *Secret.*" if setting.secret else words


def marked_names(text: str) -> Iterator[str]:
    """The text in parts, variable names between backticks."""
    names = {setting.variable for setting in Settings.table()}
    for index, word in enumerate(text.split(" ")):
        bare = word.rstrip(".,:;")
        space = " " if index else ""
        yield space + (f"`{bare}`{word[len(bare) :]}" if bare in names else word)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE}")
