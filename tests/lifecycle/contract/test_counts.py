"""Counts that outlive the process that makes them."""

import os

from lifecycle.contract.counts import Counts, Taken


def test_what_a_process_counted_is_there_when_it_is_dead() -> None:
    """Its successor goes on, and what was taken begins anew."""
    counts = Counts()
    for wire_bytes in (100, 2**40):
        child = os.fork()
        if not child:
            counts.add(1, retries=int(wire_bytes > 100), wire_bytes=wire_bytes)
            os._exit(0)
        os.waitpid(child, 0)
    assert counts.so_far == Taken(2, 1, 100 + 2**40)
    assert counts.taken() == Taken(2, 1, 100 + 2**40)
    assert counts.taken() == Taken()
    counts.add(-1, retries=0, wire_bytes=-100)
    assert counts.taken() == Taken(-1, 0, -100)
