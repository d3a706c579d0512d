"""What answers mean, whatever the destination."""

import pytest

from shipper.delivery.outcome import Verdict
from shipper.destinations.http import outcome_of
from shipper.transport.response import Response


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 202, 204), Verdict.DONE),
        ((408, 425, 429, 500, 502, 503, 504, 599), Verdict.RETRY),
        ((413,), Verdict.SPLIT),
        ((400, 422), Verdict.REFUSED),
        ((401, 403, 404, 405, 501, 301, 302, 304, 307, 308, 600), Verdict.HELD),
    ],
)
def test_every_status_means_something(statuses: tuple[int, ...], verdict: Verdict) -> None:
    for status in statuses:
        answer = Response(status=status)
        assert outcome_of(answer).verdict is verdict
