"""Lines out of bytes: whole, byte by byte, cut anywhere."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.line_parser import MOST_BYTES, PORTION_BYTES, LineParser
from collector.messages import Item, Lines, Problem

LIMIT = 10

# What is sent before the connection ends → its lines; a number is the size of a line refused.
CASES: dict[str, tuple[bytes, list[bytes | int]]] = {
    "nothing": (b"", []),
    "a line": (b"{}\n", [b"{}"]),
    "lines": (b"{1}\n{2}\n{3}\n", [b"{1}", b"{2}", b"{3}"]),
    "no last newline": (b"{1}\n{2}", [b"{1}", b"{2}"]),
    "carriage returns": (b"{1}\r\n", [b"{1}\r"]),
    "longest": (b"x" * LIMIT + b"\n", [b"x" * LIMIT]),
    "too long": (b"x" * (LIMIT + 1) + b"\n{}\n", [11, b"{}"]),
    "too long, twice": (b"x" * 11 + b"\n" + b"y" * 25 + b"\n{}\n", [11, 25, b"{}"]),
    "too long, never ending": (b"{}\n" + b"x" * 1000, [b"{}", 1000]),
}
cases = pytest.mark.parametrize(("sent", "said"), CASES.values(), ids=CASES.keys())


def fed(pieces: Iterable[bytes]) -> list[bytes | int]:
    """What an intake says to pieces and the end; blank lines, which mean nothing, left out."""
    intake = LineParser(LIMIT)
    items: list[Item] = [item for piece in pieces for item in intake.receive(memoryview(piece))]
    assert intake.buffered_bytes <= LIMIT
    items += intake.finish()
    out: list[bytes | int] = []
    for item in items:
        if isinstance(item, Lines):
            out += [line for line in item.lines if line]
        elif isinstance(item, Problem):
            assert (item.reason, item.status, item.keep_alive) == ("too_large", 0, True)
            out.append(item.body_bytes)
    return out


@cases
def test_fed_whole(sent: bytes, said: list[bytes | int]) -> None:
    """All at once; refused lines may be named before the others of the same read."""
    assert sorted(fed([sent]), key=str) == sorted(said, key=str)


@cases
def test_fed_byte_by_byte(sent: bytes, said: list[bytes | int]) -> None:
    """A byte at a time."""
    assert fed(bytes((byte,)) for byte in sent) == said


@given(st.lists(st.binary(max_size=15).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_cut_anywhere_it_says_the_same(lines: list[bytes], data: st.DataObject) -> None:
    """Every line within the limit comes out as it went in, in order, and every other is refused."""
    sent = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    pieces = [sent[at:end] for at, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    said = fed(pieces)
    assert [one for one in said if isinstance(one, bytes)] == [line for line in lines if 0 < len(line) <= LIMIT]
    assert [one for one in said if isinstance(one, int)] == [len(line) for line in lines if len(line) > LIMIT]


def test_a_long_line_is_not_kept_while_it_is_skipped() -> None:
    """Memory ends at the limit."""
    intake = LineParser(LIMIT)
    for _ in range(100):
        intake.receive(b"x" * 9)
        assert intake.buffered_bytes <= LIMIT
    assert not intake.is_within


def test_much_is_read_only_of_lines_that_may_be_events() -> None:
    """Little at first, and of short lines: each may be nonsense, and takes its time."""
    intake = LineParser(1000)
    assert intake.read_bytes == PORTION_BYTES
    intake.receive(b'{"time":"2024-05-20T16:29:45.008Z","type":"function","record":""}\n' * 9)
    assert intake.read_bytes == MOST_BYTES
    intake.receive(b"x\n" * 9)
    assert intake.read_bytes == PORTION_BYTES
