"""What a function may log: no record stops the others, holds the function, or takes the memory."""

from dataclasses import replace

from tests.faults.answers import CRASHES
from tests.faults.cell import INVOCATIONS, LINE, LINES, Cell, PerInvocation, Required, Scene
from tests.faults.hooks import with_event

# What the pattern for a panic of Go's begins with, again and again, and a second line as a traceback has.
PANICS = "panic: " * 4600 + "\rrow"

LONG_BYTES = 240_000


def zeros(size: int) -> str:
    """A line of JSON with a long list of small numbers."""
    return '{"message":"m","a":[' + ",".join("0" * (size // 2)) + "]}"


def nested(depth: int) -> str:
    """A line of JSON with a value so deep."""
    return f'{{"message":"m","a":{"[" * depth}{"]" * depth}}}'


def logged(at: int, *texts: str) -> PerInvocation:
    """One invocation also has these records, each delivered as one."""

    def before(scene: Scene, number: int) -> None:
        if number == at:
            for text in texts:
                scene.log(text)

    return before


def with_rows(*rows: str, at: tuple[int, ...] = (2, 4, 6, 8)) -> tuple[dict[str, object], ...]:
    """The usual events; some of them print these lines as well."""
    return tuple({**LINE, "rows": rows if number in at else ()} for number in range(INVOCATIONS))


def unlike(name: str, size: int, count: int) -> tuple[dict[str, object], ...]:
    """Lines of JSON that have something long in one place, each another."""
    each = count // INVOCATIONS
    return tuple(
        {
            "lines": LINES,
            "rows": [name % (f"{number}-{one}-".ljust(size, "x")) for one in range(each)],
        }
        for number in range(INVOCATIONS)
    )


def deadly(scene: Scene) -> None:
    """A line of JSON with this in it ends the process that reads it."""
    reads = "def members_of(raw: bytes) -> dict[str, bytes] | None:\n"
    scene.edit("shipper/parse/json_lines.py", reads, f"{reads}    if b'deadly' in raw:\n        raise SystemExit(1)\n")


WELL = Required(p50_ms=60.0, unsaid=CRASHES)

RECORDS = (
    Cell(name="line of 4,600 panics", events=with_rows(PANICS), required=WELL),
    Cell(name="JSON line with 120,000 numbers", events=with_rows(zeros(LONG_BYTES)), required=WELL),
    Cell(name="JSON record of 1 MB of numbers", before=logged(4, zeros(1_000_000)), required=WELL),
    # Twelve times what Lambda delivers as one record: three times its bytes in the shipper, and once elsewhere.
    Cell(
        name="JSON record of 3 MB of numbers",
        before=logged(4, zeros(3_000_000)),
        required=replace(WELL, memory_mb=48.0),
    ),
    Cell(
        name="JSON lines nested 960 to 1,000 deep",
        events=with_rows(*(nested(depth) for depth in range(960, 1001))),
        required=WELL,
    ),
    Cell(name="JSON record nested 100,000 deep", before=logged(4, nested(100_000)), required=WELL),
    Cell(name="1,000 keys of 30 KB", events=unlike('{"message":"m","%s":1}', 30_000, 1000)),
    Cell(name="60 levels of 200 KB", events=unlike('{"message":"m","level":"%s"}', 200_000, 60)),
    Cell(name="60 loggers of 200 KB", events=unlike('{"message":"m","level":"info","logger":"%s"}', 200_000, 60)),
    Cell(
        name="slow pattern of the user's",
        settings={"TAILRACE_DROP": r"\d+,"},
        events=with_rows("7" * 256_000, at=(4,)),
        required=WELL,
    ),
    Cell(
        name="e-mail pattern, 64 KB without an @",
        settings={"TAILRACE_REDACT": "email"},
        events=with_rows("a" * 64_000),
        required=WELL,
    ),
    # Whatever it is that a shipper dies of: the next one passes it through as text.
    Cell(
        name="record that a shipper dies of",
        is_slow=True,
        owns_layer=True,
        start=deadly,
        events=with_rows('{"message":"m","deadly":1}', at=(4,)),
        required=Required(p50_ms=60.0, says=('"worker.exited"', '"unmapped":1,')),
    ),
    Cell(
        name="pattern that tries every way",
        settings={"TAILRACE_DROP": r"(a|aa)+$"},
        events=with_event(4, lines=LINES, rows=["a" * 64 + "b"]),
        required=WELL,
    ),
)
