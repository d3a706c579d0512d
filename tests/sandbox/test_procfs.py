"""What the kernel says of processes, as far as tests rely on it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from tests.sandbox import procfs

# Uses a fifth of a second of one processor, says so, and waits to be told to end.
BUSY = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
while time.process_time() < 0.2:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_who_shares_a_processor_was_starved_of_it() -> None:
    """Two that each want all of it: together they waited for about as long as one of them ran."""
    if not procfs.starved_ms(os.getpid()):
        pytest.skip("this kernel does not count it: no /proc/PID/schedstat")
    processor = str(min(os.sched_getaffinity(0)))
    pipe = subprocess.PIPE
    pair = [subprocess.Popen([sys.executable, "-c", BUSY, processor], stdin=pipe, stdout=pipe) for _ in range(2)]
    for process in pair:
        assert process.stdout is not None
        process.stdout.readline()
    starved_ms = sum(procfs.starved_ms(process.pid) for process in pair)
    for process in pair:
        process.communicate()
    assert starved_ms > 100


IDLE = "import sys, time; time.sleep(1); print(flush=True); sys.stdin.read()"


def test_who_waits_for_something_else_is_not_starved() -> None:
    """An idle process is late by what it waits for: that is not taken off."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", IDLE], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        waiting_ms = procfs.starved_ms(process.pid)
        process.communicate()
    assert waiting_ms < 900
    assert procfs.starved_ms(process.pid) == 0, "it has gone"


def test_one_thread_can_be_asked_for() -> None:
    """Of a process whose others do not matter."""
    assert procfs.starved_ms(os.getpid(), threading.get_native_id()) <= procfs.starved_ms(os.getpid())


def test_memory_in_a_file_counts_also_where_it_is_not_mapped() -> None:
    """What was written to it and is in nobody's share; each file once, however many have it."""
    before = procfs.unmapped_bytes([os.getpid()])
    fd = os.memfd_create("tests")
    try:
        os.write(fd, bytes(4_000_000))
        assert 3_500_000 < procfs.unmapped_bytes([os.getpid(), os.getpid()]) - before < 4_500_000
    finally:
        os.close(fd)
