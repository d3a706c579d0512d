"""What a record costs the shipper: decode, map, gzip, and the whole pipeline, in µs of CPU per record, by encoding.

    python -m tests.bench.bench_encode [--rounds 15]

The lines are 150 bytes, the JSON around them makes 200; everything is measured in one run, on one machine, so
the ratios hold even where the microseconds do not.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.lines import Lines
from shipper.destinations.otlp import json_logs, protobuf_logs
from shipper.destinations.registry import create
from shipper.model.context import NOTHING
from shipper.model.events import Event, events
from shipper.model.log_record import Encoder, LogRecord
from shipper.parse.log_parser import LogParser
from shipper.pipeline import Pipeline
from shipper.transport.request import gzipped
from tests.shipper.support import Waits

RECORDS = 1200
FRAMES = 10
REQUEST_ID = "459921b5-681c-4a96-beb0-81e0aa586026"
WORDS = ("order", "cart", "placed", "user", "timeout", "done", "payment", "checked", "retry", "latency")


def message(dice: random.Random, length: int) -> str:
    words = ""
    while len(words) < length:
        words += f"{dice.choice(WORDS)}={dice.randrange(99999)} "
    return words[:length]


def plain_line(dice: random.Random, _time: str) -> object:
    return message(dice, 149) + "\n"


def runtime_line(dice: random.Random, time: str) -> object:
    head = f"[INFO]\t{time}\t{REQUEST_ID}\t"
    return head + message(dice, 149 - len(head)) + "\n"


def json_line(dice: random.Random, time: str) -> object:
    return {"timestamp": time, "level": "INFO", "requestId": REQUEST_ID, "message": message(dice, 60), "n": 17}


def payload(line: Callable[[random.Random, str], object]) -> bytes:
    dice = random.Random(1)
    times = [f"2024-05-20T16:29:45.{i // 7 % 1000:03}Z" for i in range(RECORDS)]
    return msgspec.json.encode([{"time": t, "type": "function", "record": line(dice, t)} for t in times])


def cpu_us(works: dict[str, Callable[[], object]], records: int, rounds: int) -> dict[str, float]:
    """The median round's CPU time per record; what is compared takes turns, since the machine has others to serve."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.process_time_ns()
            work()
            spent[name].append((time.process_time_ns() - started) / 1000 / records)
    return {name: sorted(found)[rounds // 2] for name, found in spent.items()}


def exhaust(iterator: Iterator[object]) -> None:
    for _ in iterator:
        pass


def bench(name: str, body: bytes, rounds: int) -> None:
    backlog = Backlog(FRAMES * (len(body) + 100))
    writer = Writer(backlog, end=0, released=0)
    for n in range(FRAMES):
        writer.append(body, events=RECORDS, observed_ns=1_716_222_586_000_000_000, digest=bytes([n] * 8))
    frame = next(backlog.frames(0, writer.end))
    log = Log("bench")
    environ = {"TAILRACE_DESTINATION": "otlp+http://localhost:1", "AWS_LAMBDA_FUNCTION_NAME": "hello"}
    settings = {
        name: Settings({**environ, "OTEL_EXPORTER_OTLP_PROTOCOL": f"http/{name}"}) for name in ("protobuf", "json")
    }
    destinations = {name: create(found, Waits(), log) for name, found in settings.items()}
    decoded = [event for event in events(frame) if isinstance(event, Event)]

    def mapped(encoder: Encoder) -> list[bytes]:
        parser = LogParser()
        parser.begin(frame)
        if encoder.event is not None:
            return [encoder.event(event, parser.origin(event, NOTHING), i) for i, event in enumerate(decoded)]
        text_line = encoder.text_line
        assert text_line is not None
        lines = [parser.line(event, i, NOTHING, text_line) for i, event in enumerate(decoded)]
        return [encoder.log(line) if isinstance(line, LogRecord) else line for line in lines]

    def shipped(name: str) -> int:
        destination, limits = destinations[name], settings[name]
        pipeline = Pipeline(destination.encoder, BatchLimits(limits.batch_bytes, limits.batch_records), log)
        sizes = 0
        for batch in pipeline.batches(backlog.frames(0, writer.end), Position(0)):
            for signal, parcel in batch.parcels.items():
                sizes += len(destination.endpoints[signal].build(parcel.records).body)
        return sizes

    separators = {"protobuf": b"", "json": b","}
    encoders: dict[str, Callable[[], Encoder]] = {"protobuf": protobuf_logs.LogRecords, "json": json_logs.LogRecords}
    joined = {name: separators[name].join(mapped(made())) for name, made in encoders.items()}
    figures = cpu_us(
        {
            "decode": lambda: exhaust(events(frame)),
            **{f"map to {name}": partial(lambda made: mapped(made()), made) for name, made in encoders.items()},
            "map to ndjson": lambda: mapped(Lines(settings["json"])),
            **{f"gzip {name}": partial(gzipped, b"", [text], b"", b"") for name, text in joined.items()},
        },
        RECORDS,
        rounds,
    )
    figures |= cpu_us({f"all of {name}": partial(shipped, name) for name in encoders}, RECORDS * FRAMES, rounds)
    print(f"{name}: {len(body) / RECORDS:.0f} bytes in")
    for encoding in encoders:
        wire_bytes = shipped(encoding) / RECORDS / FRAMES
        print(f"  {encoding:17}{len(joined[encoding]) / RECORDS:4.0f} bytes out, {wire_bytes:.1f} on the wire")
    for what, us in figures.items():
        print(f"  {what:17}{us:6.2f} µs  {us / figures['decode']:5.1f} x decode")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for name, line in (("plain text", plain_line), ("runtime's text", runtime_line), ("JSON", json_line)):
        bench(name, payload(line), rounds)


if __name__ == "__main__":
    main()
