"""Cells of backends that take one encoding of OTLP alone; no setting is changed."""

from tests.faults.cell import SHIPPER, Cell, Hook, Required
from tests.faults.hooks import RUNNING, killing, with_event
from tests.sandbox import Status
from tests.sandbox.backend_faults import Action
from tests.sandbox.http1 import Request

FOUND = Required(says=("shipper.encoding_found",), p50_ms=40.0)


def only(encoding: str, code: int) -> Hook:
    return lambda scene: scene.backend.faults.only(encoding, code)


def uncompressed(request: Request, _body: bytes) -> Action | None:
    """Understands no gzip."""
    return Status(400) if "content-encoding" in request.headers else None


def poisonous(request: Request, body: bytes) -> Action | None:
    """Takes JSON alone, and refuses a record: both with the same answer."""
    return Status(400) if b"poison" in body or not request.headers["content-type"].endswith("json") else None


ENCODINGS = (
    Cell(name="JSON alone, 415", start=only("json", 415), required=FOUND),
    Cell(name="JSON alone, 400", start=only("json", 400), required=FOUND),
    Cell(
        name="JSON alone, all defaults",
        is_default=True,
        start=only("json", 415),
        required=Required(by_lines=True, has_spans=True),
    ),
    Cell(name="protobuf alone", start=only("protobuf", 415), required=Required(p50_ms=40.0, retried=False)),
    Cell(name="no gzip", start=lambda scene: scene.backend.faults.script(uncompressed), required=FOUND),
    Cell(
        name="JSON alone, shipper killed",
        start=only("json", 400),
        events=RUNNING,
        before=killing(SHIPPER, at=(2, 4, 6, 8)),
        required=Required(kills=4),
    ),
    Cell(
        name="JSON alone, the first record poisonous",
        start=lambda scene: scene.backend.faults.script(poisonous),
        events=with_event(0, lines=1, tag="poison"),
        required=Required(lost=1, dropped={"refused": 1}),
    ),
)
