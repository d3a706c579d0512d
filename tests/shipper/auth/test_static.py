"""What every try says alike; what references stand for is `test_references`'s."""

from typing import TYPE_CHECKING

import pytest

from shipper.auth.static import StaticAuth
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.transport.response import Response

if TYPE_CHECKING:
    from shipper.auth.interfaces import Auth

REQUEST = Request(body=b"", body_bytes=0, target="/in?a=b")


@pytest.mark.parametrize(
    ("user", "headers", "said"),
    [
        (("", ""), {}, {}),
        (("", ""), {"X-Key": "k"}, {"X-Key": "k"}),
        (("me", "s3cret"), {"X-Key": "k"}, {"Authorization": "Basic bWU6czNjcmV0", "X-Key": "k"}),
        (("me", ""), {}, {"Authorization": "Basic bWU6"}),
        (("me", "s3cret"), {"authorization": "Bearer t"}, {"authorization": "Bearer t"}),
        (("é", "ü"), {}, {"Authorization": "Basic w6k6w7w="}),
    ],
)
def test_name_and_password_are_basic_and_headers_go_over_them(
    user: tuple[str, str], headers: dict[str, str], said: dict[str, str]
) -> None:
    """RFC 7617, in UTF-8; a header's name is the same in any case."""
    auth: Auth = StaticAuth(user, headers)
    assert dict(auth.headers(REQUEST)) == said
    assert auth.headers(REQUEST) is auth.headers(REQUEST)


def test_nothing_has_to_be_fetched_and_the_request_stays_as_it_is() -> None:
    """Where there are no references; an answer means what it means to all."""
    auth: Auth = StaticAuth(("me", "s3cret"), {})
    refused = Outcome(verdict=Verdict.HELD, reason="unauthorised")
    assert (auth.secrets, auth.is_ready, auth.target(REQUEST)) == ((), True, "/in?a=b")
    assert auth.judged(refused, Response(status=401, body=b"", headers={})) is refused
