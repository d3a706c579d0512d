"""Lambda on a laptop: the platform's local APIs, its clockwork and its faults, and a backend to ship to.

Runs any extensions directory and any handler under the real runtime client. See README.md.
"""

from tests.sandbox.backend_faults import (
    Faults,
    Hang,
    Ok,
    Partial,
    Raw,
    Renegotiate,
    Reset,
    Slow,
    Status,
    retry_after,
)
from tests.sandbox.black_hole import BlackHole
from tests.sandbox.destination import Destination
from tests.sandbox.environment import Environment
from tests.sandbox.far import Far
from tests.sandbox.model import Ending, Function, InitResult, InvokeResult, Platform
from tests.sandbox.peak_memory import PeakMemory
from tests.sandbox.received import Received, ReceivedRequest

__all__ = [
    "BlackHole",
    "Destination",
    "Ending",
    "Environment",
    "Far",
    "Faults",
    "Function",
    "Hang",
    "InitResult",
    "InvokeResult",
    "Ok",
    "Partial",
    "PeakMemory",
    "Platform",
    "Raw",
    "Received",
    "ReceivedRequest",
    "Renegotiate",
    "Reset",
    "Slow",
    "Status",
    "retry_after",
]
