"""Requests that others wrote: completed, cut, and joined with our own, as OpenTelemetry's own definitions read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.schemes import JSON, PROTOBUF
from shipper.destinations.otlp.encodings import Encodings
from shipper.destinations.otlp.passing import Passing, chunks, cut, divided, passed_of, taken, transcoded
from tests.lifecycle.contract.test_otlp_wire import SIGNALS, items_of, requests
from tests.sandbox.otlp import REQUESTS, as_json, from_json, from_protobuf

if TYPE_CHECKING:
    from shipper.destinations.otlp.values import Passed

KNOWN: dict[str, str | int] = {
    "service.name": "ours",
    "cloud.account.id": "123456789012",
    "faas.max_memory": 128,
    "telemetry.distro.name": "tailrace",
}
ENCODINGS = Encodings(KNOWN)


def body_of(message: Any, *, is_json: bool) -> bytes:
    return msgspec.json.encode(as_json(message)) if is_json else bytes(message.SerializeToString())


def read(signal: str, body: bytes, *, is_json: bool) -> Any:
    return from_json(signal, body) if is_json else from_protobuf(signal, body)


def joined(signal: str, *items: bytes, is_json: bool = False) -> Any:
    """The request that takes items along."""
    head, pieces, separator, tail = ENCODINGS[JSON if is_json else PROTOBUF].request(signal, items)
    return read(signal, head + separator.join(pieces) + tail, is_json=is_json)


def passing(protocol: str = PROTOBUF) -> Passing:
    return Passing(lambda _signal: protocol == JSON, KNOWN)


def passed(signal: str, body: bytes, items: int, *, is_json: bool, protocol: str = "") -> Passed:
    """A request as it is passed, in the encoding that it came in unless another is said."""
    made = passing(protocol or (JSON if is_json else PROTOBUF))
    return made.passed(taken(signal, body, items, is_json=is_json))


def spans(*names: str, resource: dict[str, str] | None = None) -> Any:
    """A request of a few spans."""
    message = REQUESTS["traces"]()
    found = message.resource_spans.add(schema_url="s")
    for name, value in (resource or {}).items():
        found.resource.attributes.add(key=name).value.string_value = value
    for name in names:
        found.scope_spans.add().spans.add(name=name)
    return message


def attributes_of(resource: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in resource.attributes}


@pytest.mark.parametrize("is_json", [False, True])
def test_what_the_resource_lacks_is_added_and_nothing_replaced(is_json: bool) -> None:  # noqa: FBT001
    """Who made the telemetry is for the SDK to say."""
    message = spans("a", resource={"service.name": "theirs", "telemetry.sdk.language": "python"})
    found = passed("traces", body_of(message, is_json=is_json), 1, is_json=is_json)
    (resource,) = joined("traces", found, is_json=is_json).resource_spans
    assert attributes_of(resource.resource) == {
        "service.name": "theirs",
        "telemetry.sdk.language": "python",
        "cloud.account.id": "123456789012",
        "faas.max_memory": 128,
    }
    del resource.resource.attributes[2:]
    assert resource == message.resource_spans[0]


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("signal", SIGNALS)
def test_all_else_stays_as_it_is(signal: str, is_json: bool) -> None:  # noqa: FBT001
    """Whatever is in a request, also one without a resource."""

    @given(requests(signal))
    @settings(max_examples=12, deadline=None)
    def holds(message: Any) -> None:
        body = body_of(message, is_json=is_json)
        made = passing(JSON if is_json else PROTOBUF)
        found = joined(signal, made.passed(taken(signal, body, 1, is_json=is_json)), is_json=is_json)
        again = joined(signal, made.passed(taken(signal, body, 1, is_json=is_json)), is_json=is_json)
        assert found == again
        field = found.DESCRIPTOR.fields[0].name
        for after, before in zip(getattr(found, field), getattr(message, field), strict=True):
            assert {"cloud.account.id", "service.name"} <= attributes_of(after.resource).keys()
            del after.resource.attributes[len(before.resource.attributes) :]
            before.resource.SetInParent()
            assert after == before

    holds()


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("signal", SIGNALS)
def test_two_cuts_have_all_items_once_and_in_order(signal: str, is_json: bool) -> None:  # noqa: FBT001
    """Wherever it is cut; each part has what its items lie in."""

    @given(requests(signal), st.data())
    @settings(max_examples=20, deadline=None)
    def holds(message: Any, data: Any) -> None:
        items = items_of(message, signal)
        body = body_of(message, is_json=is_json)
        whole = passed(signal, body, items, is_json=is_json)
        at = data.draw(st.integers(0, items))
        parts = [cut(whole, 0, at), cut(whole, at, items)]
        assert [part.items for part in parts] == [at, items - at]
        read_parts = [joined(signal, part, is_json=is_json) for part in parts]
        assert [items_of(part, signal) for part in read_parts] == [at, items - at]
        assert [one for part in read_parts for one in _flat(part)] == _flat(joined(signal, whole, is_json=is_json))
        assert (
            [part.items for part in divided(whole)] == []
            if items < 2
            else sum(p.items for p in divided(whole)) == items
        )

    holds()


def _flat(message: Any) -> list[str]:
    """Every item with all that it lies in, but for its neighbours."""
    found = []
    for resource in getattr(message, message.DESCRIPTOR.fields[0].name):
        for scope in getattr(resource, resource.DESCRIPTOR.fields_by_number[2].name):
            around = (resource.resource, resource.schema_url, scope.scope, scope.schema_url)
            for item in getattr(scope, scope.DESCRIPTOR.fields_by_number[2].name):
                if item.DESCRIPTOR.name != "Metric":
                    found.append(repr((around, item)))
                    continue
                kind = item.WhichOneof("data")
                points = getattr(item, kind).data_points if kind else ()
                found += [repr((around, item.name, kind, point)) for point in points]
    return found


def test_a_request_is_divided_between_resources_first_then_scopes_then_items() -> None:
    """So that as little as possible is written twice."""
    message = spans("a", "b", "c")
    message.MergeFrom(spans("d"))
    whole = passed("traces", message.SerializeToString(), 4, is_json=False)
    assert [part.items for part in divided(whole)] == [3, 1]
    first, _ = divided(whole)
    assert [part.items for part in divided(first)] in ([1, 2], [2, 1])
    one_scope = spans("a")
    for name in "bcd":
        one_scope.resource_spans[0].scope_spans[0].spans.add(name=name)
    whole = passed("traces", one_scope.SerializeToString(), 4, is_json=False)
    assert [part.items for part in whole.divided()] == [2, 2]


def test_what_cannot_be_read_is_not_divided() -> None:
    """It is one record then, and is given up as one."""
    assert divided(passed_of("traces", b"\x0a\x05a", 3, is_json=False)) == ()
    assert divided(passed_of("traces", b"{", 3, is_json=True)) == ()


@pytest.mark.parametrize("is_json", [False, True])
def test_several_requests_and_our_own_items_are_one_request(is_json: bool) -> None:  # noqa: FBT001
    """Protobuf appended, arrays spliced; our own keep their resource and scope."""
    both = [passed("traces", body_of(spans(name), is_json=is_json), 1, is_json=is_json) for name in "ab"]
    own = b'{"name":"own"}' if is_json else b"\x12\x05\x2a\x03own"
    found = joined("traces", both[0], own, both[1], is_json=is_json)
    names = [scope.spans[0].name for resource in found.resource_spans for scope in resource.scope_spans]
    assert sorted(names) == ["a", "b", "own"]
    (ours,) = [one for one in found.resource_spans if one.scope_spans[0].spans[0].name == "own"]
    assert ours.scope_spans[0].scope.name == "tailrace"
    assert attributes_of(ours.resource)["telemetry.distro.name"] == "tailrace"


@pytest.mark.parametrize("signal", SIGNALS)
def test_what_came_in_one_encoding_leaves_in_the_other(signal: str) -> None:
    """Where the destination takes no other."""

    @given(requests(signal), st.booleans())
    @settings(max_examples=20, deadline=None)
    def holds(message: Any, is_json: bool) -> None:  # noqa: FBT001
        items = items_of(message, signal)
        body = body_of(message, is_json=is_json)
        same = passed(signal, body, items, is_json=is_json)
        other = passed(signal, body, items, is_json=is_json, protocol=PROTOBUF if is_json else JSON)
        assert (other.is_json, other.items) == (not is_json, items)
        assert joined(signal, other, is_json=not is_json) == joined(signal, same, is_json=is_json)
        assert transcoded(same, is_json=is_json) is same

    holds()


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("signal", SIGNALS)
def test_parts_of_a_size_have_all_items_once_and_in_order(signal: str, is_json: bool) -> None:  # noqa: FBT001
    """Each with what its items lie in."""

    @given(requests(signal), st.integers(1, 300))
    @settings(max_examples=12, deadline=None)
    def holds(message: Any, most_bytes: int) -> None:
        items = items_of(message, signal)
        whole = taken(signal, body_of(message, is_json=is_json), items, is_json=is_json)
        parts = list(chunks(whole, most_bytes))
        read_parts = [joined(signal, part, is_json=is_json) for part in parts]
        assert [items_of(one, signal) for one in read_parts] == [part.items for part in parts]
        assert all(part.items for part in parts)
        assert [one for part in read_parts for one in _flat(part)] == _flat(message)

    holds()
