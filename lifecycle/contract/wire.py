"""What travels over the pipes between the supervisor and its workers.

One tagged union per direction, MessagePack, one message per packet: the pipes are in packet mode
(`O_DIRECT`, pipe(2)), so a read returns exactly one message as long as no message exceeds `PACKET_BYTES`.
Offsets are positions in the backlog; deadlines are seconds of CLOCK_MONOTONIC, which all three processes share.
"""

import os

import msgspec

# PIPE_BUF: the largest write that stays one packet (pipe(7)).
PACKET_BYTES = 4096

# Ids named in one `Stored`: 50 ids of 36 bytes stay well below a packet. A classic environment runs one
# invocation at a time, so a batch that finishes more than a few is a replay.
MOST_IDS = 50

# Digests of stored batches that a collector recognises, also one that was replaced. The platform repeats a batch when
# an answer was late or lost, so soon after; at most a few hundred are on their way in one environment's shutdown.
RECENT_BATCHES = 64

# Why records are dropped, as the ledger has it, where several modules name it: a setting does not ask for their signal;
# the destination does not take it; no endpoint took them in time; what holds them is not as it was written, or is no
# telemetry; a redaction could not be applied; their route lags behind while others need the room.
NO_SIGNAL = "signals"
UNSUPPORTED = "unsupported"
UNDELIVERED = "undelivered"
DAMAGED = "damaged"
UNMAPPABLE = "unmappable"
UNREDACTABLE = "unredactable"
LAGGING = "lagging"

# Reasons in one message, and bytes of a name, so that it stays one packet with as large a context as there can be.
MOST_REASONS = 20
LONGEST_REASON = 16
OTHER = "other"

# What a worker may say of why; longer text is cut so that a message stays one packet.
MOST_TEXT = 500


# Why a shipment stalls that cannot say yet who sends it: a secret has to be asked for.
SECRET = "secret"  # noqa: S105 - the word, and none

# Why one stalls that ended with an exception which nobody expected.
CRASHED = "crashed"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A message of ours: frozen, tagged by its name, nothing in it unknown."""


class Ready(Message, frozen=True):
    """worker → supervisor: everything is loaded."""


class Ping(Message, frozen=True):
    """supervisor → both: are you there?"""


class Pong(Message, frozen=True):
    """worker → supervisor: I am. Said as soon as the worker looks at its commands."""


class Stored(Message, frozen=True):
    """collector → supervisor: a batch, or an OTLP request, is in the backlog.

    Attributes:
        start: Offset of the batch's frame; may lie past the previous `end` when the ring began anew.
        end: Offset just past it.
        events: Telemetry events in it.
        body_bytes: Its size as delivered.
        digest: What tells the batch from others; the platform sending it again sends the same digest.
        finished: Request ids whose platform.runtimeDone is in it, the last `MOST_IDS`.
        reported: Request ids whose platform.report is in it, likewise.
        finished_epoch_s: When the last of the finished ones ended, by the platform's clock; 0: it does not say.
        lost_events: What platform.logsDropped records in it say the platform gave up, in records.
        lost_bytes: Likewise, in bytes.
        signal: Of an OTLP request: `logs`, `traces` or `metrics`; "": it is a batch of the platform's.
        begun: OTLP requests that are under way while the end of an invocation is stored: `Settled` follows.
        is_found: It was in the spool already, left by a predecessor or by an environment before a reset.
    """

    start: int
    end: int
    events: int
    body_bytes: int
    digest: bytes
    finished: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    finished_epoch_s: float = 0.0
    lost_events: int = 0
    lost_bytes: int = 0
    signal: str = ""
    begun: int = 0
    is_found: bool = False


class Settled(Message, frozen=True):
    """collector → supervisor: the OTLP requests that the last `Stored.begun` counted are over, stored or not.

    Attributes:
        through: Offset just past the last frame that holds one of them, or an earlier offset.
    """

    through: int


class Overflowed(Message, frozen=True):
    """collector → supervisor: there was no room for an OTLP request, which was answered as partly successful.

    Attributes:
        signal: `logs`, `traces` or `metrics`.
        items: Spans, points or log records in it.
        body_bytes: Its size as received.
    """

    signal: str
    items: int
    body_bytes: int


class Repeated(Message, frozen=True):
    """collector → supervisor: a batch, or an OTLP request, came again and was acknowledged, not stored twice."""

    events: int
    digest: bytes


class Refused(Message, frozen=True):
    """collector → supervisor: something was not taken.

    Attributes:
        reason: `too_large`, `malformed`, `not_an_array`, `bad_method`, `bad_request`, `full`, …
        status: HTTP status it was answered with; 0 over TCP.
        body_bytes: How much of it there was.
    """

    reason: str
    status: int
    body_bytes: int


class Crowded(Message, frozen=True):
    """collector → supervisor: a batch waits for room, of which there may be more than was told, or can be made."""


class Restored(Message, frozen=True):
    """supervisor → both: the environment was restored from a snapshot, of which there may be many copies.

    Attributes:
        digest_key: For digests from now on.
        instance_id: The environment's own name from now on. Connections of the snapshot are not to be trusted.
    """

    digest_key: bytes
    instance_id: str


class Released(Message, frozen=True):
    """supervisor → collector: everything before `through` is delivered, its room is free.

    Said once it is worth waking the collector for, or a batch waits for it.
    """

    through: int


class Ship(Message, frozen=True):
    """supervisor → shipper: deliver [since, until) by `deadline`, then report.

    Sent while a shipment is under way it replaces that one's `until` and `deadline`; `since`, `skip` and
    `context` then repeat what the supervisor last heard.

    Attributes:
        since: The committed offset: start of the first frame not wholly delivered.
        skip: Records of that frame already delivered or dropped.
        until: Offset just past the last frame to deliver.
        deadline: Monotonic seconds; at this time the shipper stops, whatever is in flight, and reports.
        context: Correlation state at `since`, as the last `Shipped` gave it.
        is_final: Nothing more will come: what is still open is to be brought to an end, too.
        ledger: The supervisor's counts so far, for the destination.
        has_gap: What stood before `since` was passed by unread: what the context has open is not any more.
        request_id: Of the invocation for which it is; "": for none.
    """

    since: int
    skip: int
    until: int
    deadline: float
    context: bytes = b""
    is_final: bool = False
    ledger: dict[str, int] = {}
    has_gap: bool = False
    request_id: str = ""


class GiveUp(Message, frozen=True):
    """supervisor → shipper: others need the room of what waits here; pass by some of it, and send nothing of that.

    It ends the shipment under way, in the middle of any wait. What is passed is read, so that context and meters stay
    right, and reported by `Shipped.gives_up`.

    Attributes:
        since: As in `Ship`.
        skip: Likewise.
        context: Likewise.
        has_gap: Likewise.
        at_least: Offset that is to be got past: to the first frame that begins there or later.
        at_most: Offset of a frame that is not to be got past, or where the last one ends.
    """

    since: int
    skip: int
    context: bytes
    has_gap: bool
    at_least: int
    at_most: int


class Shipped(Message, frozen=True):
    """shipper → supervisor: the destination has acknowledged everything before (through, skip).

    One for acknowledged requests, of a small batch all together unless an answer is long in coming, and one with
    `through == until` that ends a shipment. The counts are what came to rest since the last message, so
    `events + parts + dropped` is exactly what left the backlog.

    Attributes:
        through: New committed offset.
        skip: Records of the frame at `through` already delivered or dropped.
        events: Delivered.
        parts: Left the backlog as part of a span or a metric, which is delivered later, if ever.
        parts_bytes: Likewise, bytes of the events as the platform delivered them.
        completes: Something that is made of parts was taken: those so far are delivered.
        dropped: Given up, by reason.
        dropped_bytes: Likewise, bytes of the events as the platform delivered them.
        requests: Requests made.
        retries: Requests among them that repeated a failed one.
        wire_bytes: Bytes of request bodies as sent.
        unmapped: Events among those delivered or dropped that were not understood, and passed through as text.
        unredactable: Events among those delivered that could not be redacted, and were blanked.
        context: Correlation state at this position.
        owes: Something is made of the context should nothing more come: a final shipment is due for it.
        waits: The shipment ends here; what follows in it is to be judged by what is yet to come.
        is_final: As the command that this answers has it: another may be on its way to the shipper.
        gives_up: It answers `GiveUp`: the destination has acknowledged nothing.
        otlp_shipped: Of `events`, those that came in OTLP requests, by signal.
        otlp_dropped: Of `dropped`, likewise.
        is_late: What was last taken was asked for in an earlier shipment: how long the answer took is not known.
    """

    through: int
    skip: int = 0
    events: int = 0
    parts: int = 0
    parts_bytes: int = 0
    completes: bool = False
    dropped: dict[str, int] = {}
    dropped_bytes: dict[str, int] = {}
    requests: int = 0
    retries: int = 0
    wire_bytes: int = 0
    unmapped: int = 0
    unredactable: int = 0
    context: bytes = b""
    owes: bool = False
    waits: bool = False
    is_final: bool = False
    gives_up: bool = False
    otlp_shipped: dict[str, int] = {}
    otlp_dropped: dict[str, int] = {}
    is_late: bool = False

    @property
    def past(self) -> int:
        """Events that left the backlog and are not given up."""
        return self.events + self.parts


class Stalled(Message, frozen=True):
    """shipper → supervisor: the shipment ended before `until`; what is left stays in the backlog.

    Attributes:
        reason: `deadline`, `connect`, `timeout`, `status_503`, `unauthorised`, `secret`, …
        deadline: Of the shipment that ends with this: another may be on its way to the shipper.
        retry_after_s: Seconds the destination asked to wait; 0 when it did not.
        requests: Requests made since the last message.
        retries: Requests among them that repeated a failed one.
        wire_bytes: Bytes of request bodies as sent.
        is_final: As the command has it that ends with this.
    """

    reason: str
    deadline: float
    retry_after_s: float = 0.0
    requests: int = 0
    retries: int = 0
    wire_bytes: int = 0
    is_final: bool = False


class RedactionFailed(Message, frozen=True):
    """shipper → supervisor: what is to be redacted cannot be read, so nothing may leave.

    Whatever it is ordered to ship, it drops every event as `unredactable`; no invocation is to be held for it.
    """


CollectorReport = Ready | Pong | Stored | Settled | Overflowed | Crowded | Repeated | Refused
ShipperReport = Ready | Pong | Shipped | Stalled | RedactionFailed
Report = CollectorReport | ShipperReport
CollectorCommand = Ping | Restored | Released
ShipperCommand = Ping | Restored | Ship | GiveUp

_encoder = msgspec.msgpack.Encoder()
collector_reports = msgspec.msgpack.Decoder(CollectorReport)
shipper_reports = msgspec.msgpack.Decoder(ShipperReport)
collector_commands: msgspec.msgpack.Decoder[Ping | Restored | Released] = msgspec.msgpack.Decoder(CollectorCommand)
shipper_commands: msgspec.msgpack.Decoder[Ping | Restored | Ship | GiveUp] = msgspec.msgpack.Decoder(ShipperCommand)


def folded(counts: dict[str, int]) -> dict[str, int]:
    """Counts by reason, as many of them as a message takes; the others together, as `other`."""
    if len(counts) <= MOST_REASONS and all(len(reason.encode()) <= LONGEST_REASON for reason in counts):
        return counts
    kept: dict[str, int] = {}
    other = 0
    for reason, count in counts.items():
        if len(kept) < MOST_REASONS - 1 and len(reason.encode()) <= LONGEST_REASON and reason != OTHER:
            kept[reason] = count
        else:
            other += count
    return {**kept, OTHER: other}


def send(fd: int, message: Message) -> None:
    """Writes one message as one packet.

    Raises:
        BlockingIOError: The pipe is full and `fd` does not block.
        BrokenPipeError: Nobody reads the other end any more.
    """
    packet = _encoder.encode(message)
    if len(packet) > PACKET_BYTES:
        raise ValueError(
            f"message of {len(packet)} bytes, expected no more than {PACKET_BYTES}: {type(message).__name__}"
        )
    os.write(fd, packet)


def receive(fd: int) -> bytes:
    """Reads one packet; b"" says that the other end is closed.

    Raises:
        BlockingIOError: Nothing is there and `fd` does not block.
    """
    return os.read(fd, PACKET_BYTES)
