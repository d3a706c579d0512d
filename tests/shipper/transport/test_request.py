"""Requests as they are written."""

import subprocess
import sys
import zlib
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.log import Log
from shipper.transport import request
from shipper.transport.request import LAZY, QUICK, USUAL, Compressors, Efforts, ended, gzipped, head_of, joined, merged

# Up to so much a body is a small one, and after so much in large ones zlib-ng is there.
SMALL, ENOUGH = 16_384, 393_216


@pytest.fixture(autouse=True)
def compressors(monkeypatch: pytest.MonkeyPatch) -> Compressors:
    """Of a process that has compressed nothing yet."""
    fresh = Compressors()
    monkeypatch.setattr(request, "compressors", fresh)
    return fresh


def body_of(size: int) -> list[bytes]:
    """Items in which some repeats and some does not."""
    text = b"".join(b"line %d of %b, " % (n, blake2b(b"%d" % n).hexdigest()[:9].encode()) for n in range(size // 16))
    return [text[at : min(at + 300, size)] for at in range(0, size, 300)]


@given(st.lists(st.binary(max_size=300), max_size=200), st.binary(max_size=20), st.sampled_from([1, 1, 400]))
def test_a_compressed_body_is_the_body(items: list[bytes], separator: bytes, times: int) -> None:
    """Whatever the number of items and their size."""
    items = [times * item for item in items]
    body = b"[" + separator.join(items) + b"]"
    assert zlib.decompress(gzipped(b"[", items, separator, b"]"), 31) == body
    assert joined(b"[", items, separator, b"]") == body


@pytest.mark.parametrize("sizes", [[SMALL - 1, SMALL, SMALL + 1], [ENOUGH - 1, 20_000, 20_000], [ENOUGH, ENOUGH + 1]])
@pytest.mark.parametrize("effort", [USUAL, LAZY, QUICK])
def test_a_large_body_is_the_body(sizes: list[int], effort: int) -> None:
    """Before, at and after the moment when another library takes over."""
    for size in sizes:
        body = b"".join(items := body_of(size))
        assert len(body) == size
        assert zlib.decompress(gzipped(b"", items, b"", b"", effort), 31) == body


def test_the_other_library_is_loaded_where_it_pays_and_not_before() -> None:
    """Whoever sends small bodies alone has nothing of it in memory, and it brings nothing but itself."""
    script = f"""if True:
        import sys
        from shipper.transport.request import gzipped
        def loaded_after(count, size):
            for _ in range(count):
                gzipped(b"", [bytes(size)], b"", b"")
            print(*sorted(name for name in sys.modules if name.startswith(("zlib_ng", "gzip"))))
        loaded_after(100, {SMALL})
        loaded_after(3, {ENOUGH // 4})
        loaded_after(1, {ENOUGH // 4})
    """
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.splitlines() == ["", "", "zlib_ng zlib_ng.zlib_ng"]


def test_without_the_other_library_bodies_are_compressed_as_before(
    compressors: Compressors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout that lacks it, or with a Python that it is not built for; it is said once."""
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    said: list[bytes] = []
    compressors.log = Log("shipper", "debug", write=said.append)
    made = [gzipped(b"", body_of(ENOUGH), b"", b"") for _ in range(3)]
    assert made == made[:1] * 3
    assert zlib.decompress(made[0], 31) == b"".join(body_of(ENOUGH))
    assert [b'"event":"shipper.compressor_missing"' in line for line in said] == [True]


def test_the_other_library_leaves_as_much_of_text() -> None:
    """In OTLP's protobuf: 60,000 lines of text are to take no more than 775 KB."""
    text = b"/".join(blake2b(b"%d" % n).hexdigest()[:6].encode() for n in range(20))
    items = [
        b"J\x1e\n\x0elog.record.uid\x12\x0c\n\n%010x\x09" % (0x5A17C0FFEE + n)
        + (1_790_000_000_000_000_000 + n * 1_000_000 + n * n % 997 * 1000).to_bytes(8, "little")
        + b"*\xa0\x01\n\x9d\x01line %d %b" % (n, text)
        for n in range(4000)
    ]
    before, after = (len(gzipped(b"", items, b"", b"")) for _ in range(2))
    assert before != after
    assert after < 1.03 * before
    assert after < 775_000 * len(items) / 60_000


def test_efforts_are_compared_anew_with_another_library(compressors: Compressors) -> None:
    """It has levels of its own."""
    items, efforts = records(repeats_from_long_before=False), Efforts()
    size = sum(map(len, items))
    known = compressors.used
    while compressors.used is known:
        assert efforts.of(items, size) == LAZY
        gzipped(b"", items, b"", b"", LAZY)
    usual, lazy = (len(gzipped(b"", items, b"", b"", effort)) for effort in (USUAL, LAZY))
    assert efforts.of(items, size) == (USUAL if usual < 0.98 * lazy else LAZY)


def records(repeats_from_long_before: bool) -> list[bytes]:  # noqa: FBT001 - what there are two kinds of
    """Two thousand, of words that return after dozens of them among numbers that do not, or of numbers alone."""
    words = [f"{number * 2654435761 % 2**32:08x}" for number in range(512)]
    shared = bytes(range(48, 123)) * 2
    said = [
        " ".join(words[(n * 31 + at * 7) % 512] for at in range(16 if repeats_from_long_before else 0))
        for n in range(2000)
    ]
    return [b"line %d " % n + text.encode() + shared + b"-%d" % n for n, text in enumerate(said)]


def test_what_repeats_far_apart_is_found() -> None:
    """The quickest level takes 30 bytes a line."""
    items = records(repeats_from_long_before=True)
    assert len(gzipped(b"", items, b"", b"", Efforts().of(items, sum(map(len, items))))) < 16 * len(items)


def test_what_leaves_as_little_in_less_time_does() -> None:
    """Where nothing is saved by looking longer, nobody does; of a small body it is not asked."""
    items = records(repeats_from_long_before=False)
    assert Efforts().of(items, size := sum(map(len, items))) == LAZY
    assert len(gzipped(b"", items, b"", b"", LAZY)) <= 1.02 * len(gzipped(b"", items, b"", b"", USUAL))
    assert Efforts().of(items[:200], size // 10) == USUAL


def test_efforts_are_compared_again() -> None:
    """What a function prints is not always the same."""
    plain, telling = records(repeats_from_long_before=False), records(repeats_from_long_before=True)
    efforts = Efforts()
    found = [efforts.of(items, sum(map(len, items))) for items in [plain] * 40 + [telling] * 40 + [plain] * 40]
    changes = [at for at in range(1, len(found)) if found[at] != found[at - 1]]
    assert (found[0], found[-1], len(changes)) == (LAZY, LAZY, 2)


def test_spans_are_compressed_the_quick_way() -> None:
    """Their ids differ in each, and are most of what is left."""
    items = [b"GET /orders/{id} of %d " % n + blake2b(b"%d" % n, digest_size=8).digest() for n in range(2000)]
    made = {effort: gzipped(b"", items, b"", b"", effort) for effort in (USUAL, QUICK)}
    assert made[QUICK] != made[USUAL]
    assert zlib.decompress(made[QUICK], 31) == b"".join(items)


@pytest.mark.parametrize(
    ("body", "end"),
    [(b"ok", b"A: b\r\nContent-Length: 2\r\n\r\n"), (b"", b"Content-Length: 0\r\n\r\n"), (None, b"A: b\r\n\r\n")],
)
def test_a_request_says_how_long_its_body_is(body: bytes | None, end: bytes) -> None:
    """One without a body says nothing of it."""
    request = ended(head_of("PUT", "/x?y", [("A", "b")]), None if body is None else len(body))
    assert request.startswith(b"PUT /x?y HTTP/1.1\r\nA: b\r\n")
    assert request.endswith(end)


def test_no_setting_changes_where_a_request_ends() -> None:
    assert merged([("Content-Length", "5"), ("transfer-encoding", "chunked"), ("X", "y")]) == {"X": "y"}
