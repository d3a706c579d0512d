"""Spans as the platform's events tell them, in no destination's form; their ids.

Ids are never random: a span made a second time, by a replaced shipper, from a repeated batch or by an environment after
a reset, has the ids it had the first time.
"""

import functools
from collections.abc import Callable

import msgspec

from shipper.model.context import Child, Invocation
from shipper.parse.xray import SPAN_DIGITS, TRACE_DIGITS, hex_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span, its parts included.

    Attributes:
        parent_id: "" for the root of a trace.
        error: What went wrong, as `error.type` has it; "" when all went well.
        message: More about it.
        link: Trace and span id of another span that this one has to do with; two "" for none.
        seconds: Its attributes that are numbers or text.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    is_sampled: bool = True
    start_ns: int
    end_ns: int
    error: str = ""
    message: str = ""
    attributes: dict[str, Any] = {}
    children: tuple[Child, ...] = ()
    link: tuple[str, str] = ("", "")


def generated(seed: str, digits: int) -> str:
    """An id made from what it stands for: the same for the same, never all zeros."""
    made: str = _blake2b()(seed.encode("utf-8", "replace"), digest_size=digits // 2, person=b"tailrace").hexdigest()
    return made


@functools.cache
def _blake2b() -> Callable[..., Any]:
    """Loaded with the first id that is made."""
    from _blake2 import blake2b

    return blake2b


def ids_of(invocation: Invocation) -> tuple[str, str]:
    """Trace and span id of an invocation: the platform's, else made from the request id.

    A request id is a UUID, which has as many digits as a trace id: then it is one.
    """
    request_id = invocation.request_id
    trace_id = invocation.trace_id or hex_id(request_id.replace("-", ""), TRACE_DIGITS)
    return (
        trace_id or generated(f"trace {request_id}", TRACE_DIGITS),
        invocation.span_id or generated(f"span {request_id}", SPAN_DIGITS),
    )


def child_id(parent_id: str, number: int, name: str) -> str:
    """Span id of a part of a span."""
    return generated(f"{parent_id} {number} {name}", SPAN_DIGITS)
