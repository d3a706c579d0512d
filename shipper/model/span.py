"""A span, in no destination's form."""

import msgspec

from shipper.model.context import Child

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
        attributes: By name; numbers, text, or what else the platform's records have.
        children: Its parts, which become spans of their own.
        link: Trace and span id of another span that this one has to do with; two "" for none.
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
