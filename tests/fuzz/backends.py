"""What a backend may answer: what must hold of it, whatever the destination."""

from collections.abc import Iterable

from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations import elasticsearch
from shipper.destinations.http import by_status
from shipper.destinations.otlp import destination as otlp
from shipper.errors import ExchangeError
from shipper.transport.quoting import MOST_SHOWN, Quoting
from shipper.transport.response import MOST_BODY, Response, ResponseReader

REQUEST = Request(body=b"", body_bytes=0, items=3)
SECRET = "hunter22222"  # noqa: S105 - nobody's
READERS = (by_status, otlp.outcome_of_export, elasticsearch.read)
QUOTING = Quoting([SECRET])


def answers(pieces: Iterable[bytes], *, is_closed: bool) -> Response | None:
    """Any bytes are an answer or an error of ours; any answer is an outcome of ours."""
    response = _read(pieces, is_closed=is_closed)
    if response is None:
        return None
    assert len(response.body) <= MOST_BODY
    for read in READERS:
        outcome = read(REQUEST, response)
        assert isinstance(outcome, Outcome)
        assert set(outcome.items) <= set(range(REQUEST.items))
        for one in outcome.items.values():
            assert one.verdict in (Verdict.DONE, Verdict.RETRY, Verdict.SPLIT, Verdict.REFUSED)
        assert 0 <= outcome.retry_after_s <= 86_400
    said = QUOTING.quoted(response.body)
    assert len(said) <= 11 * MOST_SHOWN
    assert SECRET not in said.lower()
    return response


def _read(pieces: Iterable[bytes], *, is_closed: bool) -> Response | None:
    reader = ResponseReader()
    try:
        for piece in pieces:
            response = reader.feed(piece)
            if response is not None:
                return response
        return reader.closed() if is_closed else None
    except ExchangeError:
        return None
    finally:
        reader.release()
