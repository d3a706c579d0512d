"""When a function ended, out of whatever a batch may hold."""

import pytest

from collector.ends import last_end_epoch_s

DONE = b'{"type":"platform.runtimeDone","record":{"requestId":"r1"},"time":"%b"}'
LINE = b'{"time":"2024-05-20T16:29:45.008Z","type":"function","record":"platform.runtimeDone"}'
MOMENT = 1_716_222_585.008


def test_the_last_end_of_a_batch_counts() -> None:
    """A replay may hold several."""
    early, late = DONE % b"2024-05-20T16:29:44.000Z", DONE % b"2024-05-20T16:29:45.008Z"
    assert last_end_epoch_s(b"[%b,%b,%b]" % (LINE, early, late)) == pytest.approx(MOMENT)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"[%b]" % LINE,
        b"[%b]" % (DONE % b"yesterday"),
        b'[{"type":"platform.runtimeDone"}]',
        b'[{"type":"platform.runtimeDone","time":17}]',
        b'[{"type":"platform.runtimeDone","time":null},5]',
        b"[" * 5000,
    ],
)
def test_a_batch_that_does_not_say_says_nothing(body: bytes) -> None:
    """The age is then estimated."""
    assert last_end_epoch_s(body) == 0.0
