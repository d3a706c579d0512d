"""Trace context as X-Ray and W3C write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.model.trace_ids import SPAN_DIGITS, TraceHeader, hex_id, trace_context, trace_header, trace_id_of

ROOT = "1-6352a70e-1e2c502e358361800241fd45"
TRACE_ID = "6352a70e1e2c502e358361800241fd45"
PARENT = "35465b3a9e2f7c6a"


@pytest.mark.parametrize(
    ("header", "tracing"),
    [
        (f"Root={ROOT};Parent={PARENT};Sampled=1", TraceHeader(TRACE_ID, PARENT, sampled=True)),
        (f"Sampled=0; Root={ROOT.upper()}; Parent={PARENT.upper()}", TraceHeader(TRACE_ID, PARENT, sampled=False)),
        (f"Root={ROOT};Lineage=25:a87bd80c:1", TraceHeader(TRACE_ID)),
        (f"Root={ROOT};Parent={PARENT};Sampled=?", TraceHeader(TRACE_ID, PARENT)),
        (f"Root=1-00000000-{'0' * 24};Parent={'0' * 16};Sampled=1", TraceHeader(sampled=True)),
        ("Root=1-6352a70e-1e2c;Parent=xyz", TraceHeader()),
        ("Self=1;;=;Root", TraceHeader()),
        ("", TraceHeader()),
    ],
)
def test_a_header_is_read_as_far_as_it_is_valid(header: str, tracing: TraceHeader) -> None:
    """In any order; ids of nothing but zeros are none (W3C Trace Context)."""
    assert trace_header(header) == tracing


def test_a_trace_id_may_be_in_w3cs_form() -> None:
    assert trace_id_of(TRACE_ID.upper()) == TRACE_ID
    assert hex_id(PARENT, SPAN_DIGITS) == PARENT


@given(st.text())
def test_any_text_gives_valid_ids_or_none(text: str) -> None:
    tracing = trace_header(f"Root={text};Parent={text}")
    assert len(tracing.trace_id) in (0, 32)
    assert len(tracing.parent_id) in (0, 16)
    trace_header(text)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (TRACE_ID, TraceHeader(TRACE_ID)),
        (ROOT, TraceHeader(TRACE_ID)),
        (f"{ROOT}@{PARENT}", TraceHeader(TRACE_ID, PARENT)),
        (f"Self=1-1;Root={ROOT};Parent={PARENT};Sampled=0", TraceHeader(TRACE_ID, PARENT, sampled=False)),
        (f"00-{TRACE_ID}-{PARENT}-01", TraceHeader(TRACE_ID, PARENT, sampled=True)),
        (f"00-{TRACE_ID}-{PARENT}-02", TraceHeader(TRACE_ID, PARENT, sampled=False)),
        (f"00-{'0' * 32}-{PARENT}-01", TraceHeader("", PARENT, sampled=True)),
        (f"01-{TRACE_ID}-{PARENT}-01", TraceHeader()),
        (f"00-{TRACE_ID.upper()}-{PARENT}-01", TraceHeader()),
        ("1234567890123456789", TraceHeader()),
        ("", TraceHeader()),
    ],
)
def test_what_a_line_says_of_its_trace_is_read_in_every_form(text: str, context: TraceHeader) -> None:
    """X-Ray's id and header, its SDK's for Java, and W3C's."""
    assert trace_context(text) == context
