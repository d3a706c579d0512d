"""Events as lines of JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.lines import Lines
from shipper.model.context import NOTHING, Context
from tests.shipper.model.test_events import JSON
from tests.shipper.support import REQUEST_ID, TIME, encoded, event, frame, frame_of, settings_of


def lines_of(sent: object, lines: Lines, context: Context = NOTHING) -> bytes:
    return b"".join(encoded(lines, frame(sent), context))


def test_a_line_is_the_event_with_our_fields_beside_it() -> None:
    lines = Lines(settings_of(AWS_LAMBDA_FUNCTION_NAME="hello", OTEL_SERVICE_NAME="shop"))
    assert lines_of(event("a\n"), lines, Context(request_id=REQUEST_ID)) == (
        b'{"time":"%b","type":"function","record":"a\\n","requestId":"%b","uid":"00112233445566ff-0",'
        b'"service":"shop","function":"hello"}\n' % (TIME.encode(), REQUEST_ID.encode())
    )


@given(JSON, st.text())
def test_whatever_the_record_a_line_is_one_line_of_json(sent: object, kind: str) -> None:
    """Also where the record was written over several lines."""
    lines = Lines(settings_of())
    for payload in (json.dumps([event(sent, kind)], indent=1), json.dumps([{"odd": sent}, sent], indent=1)):
        for line in encoded(lines, frame_of(payload.encode())):
            assert line.count(b"\n") == 1
            read = json.loads(line)
            assert read.get("record", read.get("event")) in (sent, {"odd": sent})
