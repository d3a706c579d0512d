"""What a record costs the shipper: decode, map, gzip, and the whole pipeline, in µs of CPU per record.

    python -m tests.bench.bench_encode [--rounds 15]

The lines are 150 bytes, the JSON around them makes 200; everything is measured in one run, on one machine, so
the ratios hold even where the microseconds do not.
"""

import argparse
import random
import time
import zlib
from collections.abc import Callable, Iterator

import msgspec

from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.batch import Limits, Position
from shipper.destinations.lines import Lines
from shipper.destinations.otlp.logs import LogRecords
from shipper.destinations.registry import chosen
from shipper.model.context import NOTHING
from shipper.model.events import Event, events
from shipper.model.log_record import Encoder, LogRecord, TextLine
from shipper.parse.log_parser import LogParser
from shipper.pipeline import Pipeline
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


def cpu_us(work: Callable[[], object], records: int, rounds: int) -> float:
    """The median round's CPU time per record."""
    spent = []
    for _ in range(rounds):
        started = time.process_time_ns()
        work()
        spent.append((time.process_time_ns() - started) / 1000 / records)
    return sorted(spent)[rounds // 2]


def exhaust(iterator: Iterator[object]) -> None:
    for _ in iterator:
        pass


def bench(name: str, body: bytes, rounds: int) -> None:
    backlog = Backlog(FRAMES * (len(body) + 100))
    writer = Writer(backlog, end=0, released=0)
    for n in range(FRAMES):
        writer.append(body, events=RECORDS, observed_ns=1_716_222_586_000_000_000, digest=bytes([n] * 8))
    frame = next(backlog.frames(0, writer.end))
    settings = Settings({"TAILRACE_DESTINATION": "otlp+http://localhost:1", "AWS_LAMBDA_FUNCTION_NAME": "hello"})
    log = Log("bench")
    destination = chosen(settings, Waits(), log)
    decoded = [event for event in events(frame) if isinstance(event, Event)]

    def mapped(encoder: Encoder) -> list[bytes]:
        parser = LogParser()
        parser.begin(frame)
        if encoder.event is not None:
            return [encoder.event(event, parser.origin(event, NOTHING), i) for i, event in enumerate(decoded)]
        text_line = encoder.text_line
        found: list[bytes] = []
        for i, event in enumerate(decoded):
            line = parser.line(event, i, NOTHING)
            if isinstance(line, TextLine) and text_line is not None:
                found.append(text_line(line, i))
            elif isinstance(line, LogRecord):
                found.append(encoder.log(line))
        return found

    def shipped() -> int:
        pipeline = Pipeline(destination.encoder, Limits(settings.batch_bytes, settings.batch_records), log)
        sizes = 0
        for batch in pipeline.batches(backlog.frames(0, writer.end), Position(0)):
            for signal, parcel in batch.parcels.items():
                sizes += len(destination.endpoints[signal].build(parcel.records).body)
        return sizes

    records = mapped(LogRecords())
    joined = b",".join(records)
    wire_bytes = shipped() / RECORDS / FRAMES
    figures = {
        "decode": cpu_us(lambda: exhaust(events(frame)), RECORDS, rounds),
        "map to otlp": cpu_us(lambda: mapped(LogRecords()), RECORDS, rounds),
        "map to ndjson": cpu_us(lambda: mapped(Lines(settings)), RECORDS, rounds),
        "gzip level 1": cpu_us(lambda: zlib.compress(joined, 1), RECORDS, rounds),
        "gzip level 6": cpu_us(lambda: zlib.compress(joined, 6), RECORDS, rounds),
        "all of otlp": cpu_us(shipped, RECORDS * FRAMES, rounds),
    }
    print(f"{name}: {len(body) / RECORDS:.0f} bytes in, {len(joined) / RECORDS:.0f} out, {wire_bytes:.0f} on the wire")
    for what, us in figures.items():
        print(f"  {what:15}{us:6.2f} µs  {us / figures['decode']:5.1f} x decode")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for name, line in (("plain text", plain_line), ("runtime's text", runtime_line), ("JSON", json_line)):
        bench(name, payload(line), rounds)


if __name__ == "__main__":
    main()
