"""The log: whole lines, levels, secrets."""

import subprocess
import sys

import msgspec

from lifecycle.contract.log import Log, fields_of
from lifecycle.contract.wire import Shipped, Stored


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
        "import sys; sys.modules['structlog'] = None; from lifecycle.contract.log import fields_of, Log;"
        "Log('x', 'warning', ['hunter2']).error('a.b', text='h hunter2', count=1)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    fields = msgspec.json.decode(out.splitlines()[-1])
    assert (fields["event"], fields["text"], fields["count"]) == ("a.b", "h ***", 1)


def test_structlog_is_not_imported_before_the_first_line() -> None:
    """It costs more than the interpreter's own start."""
    code = (
        "import sys; from lifecycle.contract.log import fields_of, Log; log = Log('x', 'warning'); log.debug('a.b');"
        "before = 'structlog' in sys.modules; log.warning('a.b'); print(before, 'structlog' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "False True"


def test_message_is_shown_by_its_type_and_fields() -> None:
    """Bytes as hex, the opaque context not at all."""
    assert fields_of(Shipped(through=7, events=2, context=b"secret"))["what"] == "Shipped"
    assert "context" not in fields_of(Shipped(through=7))
    assert fields_of(Stored(start=0, end=1, events=1, body_bytes=1, digest=b"\x01\x02"))["digest"] == "0102"
