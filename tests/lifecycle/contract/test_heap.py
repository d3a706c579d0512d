"""Large blocks are gone once they are freed: seen from outside, in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

ANONYMOUS = """
import sys
sys.path.insert(0, {root!r})

def anonymous_bytes():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:")) * 1024
"""

BLOCKS = """
from lifecycle.contract.heap import give_back_large_blocks
if {is_told}:
    give_back_large_blocks()
    give_back_large_blocks()
before = anonymous_bytes()
large = bytearray(4_000_000)
del large
large = bytearray(3_500_000)
above = [bytes(5000) for _ in range(10)]
del large
print(anonymous_bytes() - before)
"""

BATCHES = """
from collector.store import Store
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
backlog = Backlog(16_000_000)
store = Store(Writer(backlog, end=0, released=0), lambda message: None, (), b"key", Log("collector"))

def kept(number, lines):
    event = b'{{"time":"2024-05-20T16:29:45.008Z","type":"function","record":"%d %b"}}' % (number, b"x" * 900)
    body = bytearray()
    for line in range(lines):  # as it comes from a socket
        body += b"[" + event if line == 0 else b"," + event
    body += b"]"
    store.store(store.prepare(body))

for number in range(20):
    kept(number, 5)
before = anonymous_bytes()
for number in range(3):
    kept(100 + number, 4000)
    kept(200 + number, 5)
print(anonymous_bytes() - before)
"""


def grown_bytes(program: str, **told: object) -> int:
    """What a program's own memory has grown by in the end."""
    source = (ANONYMOUS + program).format(root=str(ROOT), **told)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_large_block_is_given_back_when_it_is_freed() -> None:
    """Whatever came before it and whatever lies above it."""
    assert grown_bytes(BLOCKS, is_told=True) < 500_000


def test_without_being_told_the_c_library_keeps_it() -> None:
    """So does glibc, which Lambda runs on; should it stop, the module can go."""
    assert grown_bytes(BLOCKS, is_told=False) > 3_000_000


def test_collector_keeps_nothing_of_a_large_batch() -> None:
    """Three of nearly 4 MB, and small ones between: what 4,000 events take while they are looked at is all."""
    assert grown_bytes(BATCHES) < 1_500_000
