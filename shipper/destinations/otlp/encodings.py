"""The encodings of OTLP over HTTP, and which of them an endpoint takes: found out once, where no setting says it.

A receiver that does not take protobuf answers 415, or 400 to the very first request. It is asked again in the other
encoding, then without compression; what it takes stands from then on, and a successor is told. Until that is settled
no answer counts as one about the records. What is written already is transcoded, not cut anew: nothing that was taken
is repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.schemes import JSON, PROTOBUF
from shipper.delivery.interfaces import Joined, Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.destination import Endpoint, Sender
from shipper.destinations.http import Bodies, Place
from shipper.destinations.otlp.values import Passed
from shipper.model.signals import TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from shipper.model.log_record import Encoder
    from shipper.model.metrics import Export
    from shipper.model.span import Span
else:
    Protocol = object

_COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"

# What a receiver answers that does not take an encoding; the second says nothing once it has taken a request.
_UNSUPPORTED, _BAD_REQUEST = "status_415", "status_400"

# Requests of which nobody took any form, before no other is asked for: each may have held a record that is refused.
_MOST_ROUNDS = 16


class Encoding(Protocol):
    """One way to write OTLP.

    Attributes:
        content_type: Of requests.
        mark: The first byte of every item.
        logs: Writes log records as items.
    """

    content_type: str
    mark: int
    logs: "Encoder"

    @property
    def span(self) -> "Callable[[Span], bytes]":
        """Writes a span and its parts as one item."""

    @property
    def metrics(self) -> "Callable[[Export], list[bytes]]":
        """Writes metrics, each as an item."""

    def request(self, signal: str, items: Sequence[bytes]) -> tuple[bytes, Sequence[bytes], bytes, bytes]:
        """What a request's body consists of: its beginning, pieces, what stands between them, and its end."""


class Encodings:
    """The encodings by name, each loaded when it is first needed.

    Args:
        resource: Attributes of the resource.
    """

    def __init__(self, resource: Mapping[str, str | int]) -> None:
        self._resource = resource
        self._made: dict[str, Encoding] = {}

    def __getitem__(self, protocol: str) -> Encoding:
        found = self._made.get(protocol)
        if found is None:
            found = self._made[protocol] = self._encoding(protocol)
        return found

    def _encoding(self, protocol: str) -> Encoding:
        if protocol == JSON:
            from shipper.destinations.otlp.json_encoding import JsonEncoding

            return JsonEncoding(self._resource)
        from shipper.destinations.otlp.protobuf_encoding import ProtobufEncoding

        return ProtobufEncoding(self._resource)


class Form(msgspec.Struct, frozen=True):
    """How requests are written: encoding and compression."""

    protocol: str
    is_compressed: bool

    def __str__(self) -> str:
        return f"{self.protocol}, {'gzip' if self.is_compressed else 'uncompressed'}"


class OtlpRequest(Request, frozen=True, kw_only=True):
    """A request that can be written in another form.

    Attributes:
        records: What it is made of.
        form: Position of its form.
    """

    records: "Sequence[bytes]"
    form: int


class Negotiation(Endpoint):
    """The endpoint of one signal, which builds and sends its requests in a form that is taken there.

    Args:
        signal: Which one.
        forms: In the order in which they are asked for; one, if settings say it.
        place: Where requests go.
        encodings: Write them.
        sender: Takes them there.
        log: Says what was found out.
        variable: The setting that says the encoding.

    Attributes:
        changed: Called when items are to be written in another encoding.
    """

    def __init__(
        self,
        signal: str,
        forms: Sequence[Form],
        place: Place,
        encodings: Encodings,
        sender: Sender,
        log: Log,
        *,
        variable: str,
    ) -> None:
        super().__init__(lambda items, _key: self._built(items, self._at), sender)
        self.changed: Callable[[], object] = lambda: None
        self._signal = signal
        self._forms = forms
        self._names = [str(form) for form in forms]
        self._place = place
        self._encodings = encodings
        self._sender = sender
        self._log = log.bind(destination=self.label, signal=signal)
        self._variable = variable
        self._at = 0
        self._has_taken = False
        self._has_moved = False
        self._rounds = 0
        self._bodies: dict[int, Bodies] = {}

    @property
    def encoding(self) -> Encoding:
        """What items are to be written in."""
        return self._encodings[self._forms[self._at].protocol]

    @property
    def learnt(self) -> str:
        """The form in which something was taken; "" so far."""
        return self._names[self._at] if self._has_taken else ""

    def learn(self, learnt: str) -> None:
        """Takes the form that a predecessor found out, if it is one of these."""
        if learnt in self._names:
            self._has_taken = True
            self._move(self._names.index(learnt))

    def forms(self) -> dict[str, Endpoint]:
        """Each encoding that may be asked for, alone."""
        found: dict[str, Endpoint] = {}
        for form in self._forms:
            if form.protocol not in found:
                args = self._signal, [form], self._place, self._encodings, self._sender, self._log
                alone = Negotiation(*args, variable=self._variable)
                alone._has_moved = True  # what it is given may be written in another encoding
                found[form.protocol] = alone
        return found

    def send(self, request: Request) -> Outcome:
        """Makes a request, in another form if need be, and waits for its answer."""
        sent = self._current(request)
        return self._answered(sent, self._sender.send(sent))

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request ahead."""
        sent = self._current(request)
        answered = self._sender.begin(sent, within_s)
        return None if answered is None else lambda: self._answered(sent, answered())

    def _current(self, request: Request) -> OtlpRequest:
        """The request in the form that is taken, as far as is known."""
        if not isinstance(request, OtlpRequest):
            raise TypeError(f"got a {type(request).__name__}, expected one that was built here")
        return request if request.form == self._at else self._built(request.records, self._at)

    def _answered(self, sent: OtlpRequest, outcome: Outcome) -> Outcome:
        """The outcome of a request, or of the same in the form that is taken."""
        # Where no form is taken, what speaks of the records counts: they can be divided.
        of_all, repeats = outcome, []
        while outcome.reason in (_UNSUPPORTED, _BAD_REQUEST):
            of_all = outcome if outcome.is_refusal and not of_all.is_refusal else of_all
            if sent.form == self._at and not self._moved_on(outcome):
                outcome = of_all
                break
            sent = self._current(sent)
            outcome = self._sender.send(sent)
            repeats.append(len(sent.body))
        else:
            if outcome.verdict is Verdict.DONE and not self._has_taken and sent.form == self._at:
                self._has_taken = True
                if self._at:
                    self._say_found(self._forms[self._at])
        return msgspec.structs.replace(outcome, repeats=tuple(repeats)) if repeats else outcome

    def _moved_on(self, outcome: Outcome) -> bool:
        """Whether there is another form to ask for."""
        if self._has_taken or self._rounds >= _MOST_ROUNDS:
            return False
        if self._at + 1 < len(self._forms):
            self._move(self._at + 1)
            return True
        # The first form stands: what is refused in every one may be refused for its records.
        self._move(0)
        self._rounds += 1
        if self._rounds == 1:
            self._say_refused(outcome)
        return False

    def _say_found(self, form: Form) -> None:
        settings = [f"{self._variable}={form.protocol}", *([] if form.is_compressed else [f"{_COMPRESSION}=none"])]
        self._log.warning(
            "shipper.encoding_found",
            encoding=str(form),
            instead_of=str(self._forms[0]),
            settings=settings,
        )

    def _say_refused(self, outcome: Outcome) -> None:
        others = [name for name in (PROTOBUF, JSON) if name not in {form.protocol for form in self._forms}]
        self._log.warning(
            "shipper.encoding_refused",
            encodings=[str(form) for form in self._forms],
            reason=outcome.reason,
            settings=[f"{self._variable}={other}" for other in others] or [self._variable],
        )

    def _move(self, at: int) -> None:
        if at != self._at:
            self._at, self._has_moved = at, True
            self.changed()

    def _built(self, items: Sequence[bytes], at: int) -> OtlpRequest:
        encoding = self._encodings[self._forms[at].protocol]
        if self._has_moved:
            items = self._transcoded(items, encoding)
        bodies = self._bodies.get(at)
        if bodies is None:
            place = msgspec.structs.replace(self._place, is_compressed=self._forms[at].is_compressed)
            bodies = self._bodies[at] = Bodies(place, encoding.content_type, has_spans=self._signal == TRACES)
        made = bodies.enclosing(*encoding.request(self._signal, items))
        return OtlpRequest(
            body=made.body,
            body_bytes=made.body_bytes,
            items=made.items,
            method=made.method,
            target=made.target,
            headers=made.headers,
            records=items,
            form=at,
        )

    def _transcoded(self, items: Sequence[bytes], encoding: Encoding) -> Sequence[bytes]:
        """The items, those that were written in the other encoding written anew."""
        is_json = encoding.mark == ord("{")
        if all(item[0] == encoding.mark for item in items if type(item) is not Passed):
            others = items
        else:
            from shipper.destinations.otlp.transcode import item_in_json, item_in_protobuf

            transcode = item_in_json if is_json else item_in_protobuf
            each = chain.from_iterable([item.each() if isinstance(item, Joined) else (item,) for item in items])
            others = [
                item if type(item) is Passed or item[0] == encoding.mark else transcode(self._signal, item)
                for item in each
            ]
        if Passed not in set(map(type, others)):
            return others
        from shipper.destinations.otlp.passing import transcoded

        return [transcoded(item, is_json=is_json) if type(item) is Passed else item for item in others]
