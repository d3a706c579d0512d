"""The log: whole lines, levels, secrets."""

import json
import os
import select
import subprocess
import sys
from datetime import datetime, timezone
from time import monotonic

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.log import Log, fields_of, plain_line
from lifecycle.contract.wire import Shipped, Stalled, Stored
from lifecycle.machine.events import BatchStored, OffsetCommitted


def written(level: str = "debug", secrets: tuple[str, ...] = ()) -> tuple[Log, list[bytes]]:
    lines: list[bytes] = []
    return Log("shipper", level, secrets, lines.append), lines


def test_line_is_json_and_begins_with_our_name() -> None:
    """By which our own lines are known when the platform sends them back."""
    log, lines = written()
    log.debug("shipper.batch_shipped", records=120, took_ms=18.2)
    (line,) = lines
    assert line.startswith(b'{"logger":"tailrace.shipper","level":"debug","event":"shipper.batch_shipped"')
    assert line.endswith(b"}\n")
    fields = msgspec.json.decode(line)
    assert (fields["records"], fields["took_ms"]) == (120, 18.2)
    assert fields["time"].endswith("Z")


def test_lines_below_the_level_are_not_written() -> None:
    """At warning, debug and info are silent."""
    log, lines = written("warning")
    log.debug("a.b")
    log.info("a.b")
    assert not lines
    log.warning("a.b")
    log.error("a.b")
    assert [msgspec.json.decode(line)["level"] for line in lines] == ["warning", "error"]


def test_secret_is_blanked_wherever_it_stands() -> None:
    """In a field, in a list, inside an error's text, escaped or not."""
    log, lines = written(secrets=('hunter"22',))
    log.warning("a.b", error='got hunter"22 from x', headers=['hunter"22'])
    assert b"hunter" not in lines[0]
    assert msgspec.json.decode(lines[0])["headers"] == ["***"]


def test_value_of_any_type_is_written() -> None:
    """A line is never lost for what stands in it."""
    log, lines = written()
    log.error("a.b", error=ValueError("odd"), data=object)
    assert msgspec.json.decode(lines[0])["error"] == "odd"


def test_secret_that_is_a_word_of_ours_spoils_no_line() -> None:
    """A header may hold any word: only what fields say is blanked, so our lines stay recognisable and valid."""
    log, lines = written(secrets=("tailrace", "warning", "true", "12345"))
    log.warning("tailrace.warning", is_x=True, count=12345, text="a tailrace 12345")
    fields = msgspec.json.decode(lines[0])
    assert lines[0].startswith(b'{"logger":"tailrace.shipper","level":"warning","event":"tailrace.warning"')
    assert (fields["is_x"], fields["count"], fields["text"]) == (True, 12345, "a *** ***")


def test_line_is_written_even_when_nothing_can_be_loaded() -> None:
    """A layer for another Python has no msgspec that loads, and somebody must be able to read so."""
    code = (
        "import sys; sys.modules['structlog'] = None; from lifecycle.contract.log import Log;"
        "Log('x', 'warning', ['hunter2']).error('a.b', text='h hunter2', count=1)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    fields = msgspec.json.decode(out.splitlines()[-1])
    assert (fields["event"], fields["text"], fields["count"]) == ("a.b", "h ***", 1)


def test_structlog_is_not_imported_before_the_first_line() -> None:
    """It costs more than the interpreter's own start."""
    code = (
        "import sys; from lifecycle.contract.log import Log; log = Log('x', 'warning'); log.debug('a.b');"
        "before = 'structlog' in sys.modules; log.warning('a.b'); print(before, 'structlog' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "False True"


def test_it_can_be_loaded_before_there_is_a_line() -> None:
    """Nothing is written, and the line that comes takes no longer than the next."""
    code = (
        "import sys; from lifecycle.contract.log import Log; log = Log('x', 'warning'); log.load();"
        "print('structlog' in sys.modules, flush=True); log.warning('a.b')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded, line = out.splitlines()
    assert (loaded, '"event":"a.b"' in line) == ("True", True)


def test_message_is_shown_by_its_type_and_fields() -> None:
    """Bytes as hex, the opaque context not at all."""
    assert fields_of(Shipped(through=7, events=2, context=b"secret"))["what"] == "Shipped"
    assert "context" not in fields_of(Shipped(through=7))
    assert fields_of(Stored(start=0, end=1, events=1, body_bytes=1, digest=b"\x01\x02"))["digest"] == "0102"


def test_a_deadline_is_told_by_the_walls_clock_with_the_seconds_left() -> None:
    """One that no calendar has is none, and no error."""
    before = datetime.now(timezone.utc)
    said = fields_of(Stalled(reason="connect", deadline=monotonic() + 60))
    assert 59 < said["left_s"] <= 60
    at = datetime.strptime(said["deadline"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert 59 < (at - before).total_seconds() < 70
    for never in (float("inf"), 1e18):
        assert fields_of(Stalled(reason="connect", deadline=never))["deadline"] is None


def test_what_says_nothing_or_is_said_elsewhere_is_left_out() -> None:
    """What a message may be made without, when it is zero or empty; what it always has is told, zero or not."""
    assert fields_of(Shipped(through=0, owes=True, dropped={})) == {"what": "Shipped", "through": 0, "owes": True}
    stored = BatchStored(start=0, end=9, finished=("r",), reported=("q",), finished_age_s=0.0123456789)
    said = {"what": "BatchStored", "end": 9, "finished": ("r",), "finished_age_s": 0.012346}
    assert fields_of(stored, ("start", "reported")) == said
    # Whose something is, is told also where there is one of them.
    assert fields_of(OffsetCommitted(7))["worker"] == "shipper"


UNREAD = """
import os, sys
from lifecycle.contract.log import Log
log = Log("x")
children = []
for child in range(3):
    children.append(os.fork())
    if not children[-1]:
        for number in range(3000):
            log.warning("a.b", child=child, number=number, text="y" * (number % {longest}))
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
print("done", file=sys.stderr, flush=True)
sys.stdin.readline()
log.warning("a.c")
log.warning("a.d")
"""


@pytest.mark.parametrize("longest", [50, 9000])
def test_output_that_nobody_reads_blocks_no_process(longest: int) -> None:
    """Not three that write at once either; what it does not take is counted, and said once it takes something again."""
    command = [sys.executable, "-c", UNREAD.format(longest=longest)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert select.select([process.stderr], [], [], 60)[0], "it is blocked"
        assert process.stderr.readline() == "done\n"
        os.set_blocking(process.stdout.fileno(), False)
        lines = process.stdout.read().splitlines()
        os.set_blocking(process.stdout.fileno(), True)
        process.stdin.write("\n")
        process.stdin.flush()
        after = process.stdout.read().splitlines()
    numbers: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for line in map(msgspec.json.decode, lines):
        if line["event"] == "a.b":  # one that was late may have lost some, and say so
            numbers[line["child"]].append(line["number"])
    assert lines
    assert all(seen == sorted(seen) for seen in numbers.values())
    assert [msgspec.json.decode(line)["event"] for line in after] == ["a.c", "a.d"]


def test_lines_that_were_not_taken_are_counted_and_said() -> None:
    """Before the first that is taken again."""
    lines: list[bytes] = []
    is_taking = False

    def write(line: bytes) -> bool:
        if is_taking:
            lines.append(line)
        return is_taking

    log = Log("shipper", write=write)
    for _ in range(3):
        log.warning("a.b")
    is_taking = True
    log.warning("a.c")
    log.warning("a.d")
    said = [msgspec.json.decode(line) for line in lines]
    assert [(line["event"], line.get("lines")) for line in said] == [
        ("log.lines_lost", 3),
        ("a.c", None),
        ("a.d", None),
    ]
    assert said[0]["logger"] == "tailrace.shipper"


def test_output_that_fails_is_no_error_of_the_one_who_speaks() -> None:
    """Closed, or whatever it is."""

    def write(_line: bytes) -> bool:
        raise OSError("closed")

    log = Log("shipper", write=write)
    log.error("a.b", error=Unspeakable())
    assert log.lost_lines == 1


class Unspeakable:
    """What has no text."""

    def __str__(self) -> str:
        raise ValueError


def test_line_is_written_when_there_are_no_descriptors() -> None:
    """Nothing can be loaded then, and it is when somebody wants to know."""
    code = """
import resource, sys
from lifecycle.contract.log import Log
log = Log("x", secrets=["hunter2"])
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
error = OSError('no "descriptors"\\n\u2603 hunter2')
log.error("a.b", error=error, count=1, at=1.5, nothing=None, is_so=True, of=[1, {"a": "b"}])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    fields = msgspec.json.decode(out)
    assert (fields["event"], fields["error"], fields["count"]) == ("a.b", 'no "descriptors"\n\u2603 ***', 1)
    assert (fields["at"], fields["nothing"], fields["is_so"], fields["of"]) == ("1.5", None, True, [1, {"a": "b"}])


@given(
    st.dictionaries(st.text(max_size=5), st.text(st.characters(codec=None), max_size=20) | st.integers() | st.none())
)
def test_plain_line_is_json_whatever_stands_in_it(fields: dict[str, object]) -> None:
    """Written without a library, read by any."""
    fields = {name: value for name, value in fields.items() if name not in ("logger", "level", "event", "pid")}
    read = json.loads(plain_line("x", "error", "a.b", fields))
    for name, value in fields.items():
        key = name.encode("utf-8", "replace").decode()
        assert read[key] == (value.encode("utf-8", "replace").decode() if isinstance(value, str) else value)
