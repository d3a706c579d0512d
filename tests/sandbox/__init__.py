"""Lambda on a laptop: the platform's local APIs, its clockwork and its faults, and a backend to ship to.

Runs any extensions directory and any handler under the real runtime client. See README.md.
"""

from tests.sandbox.backend_faults import Faults, Hang, Ok, Partial, Reset, Slow, Status, retry_after
from tests.sandbox.destination import Destination
from tests.sandbox.environment import Environment
from tests.sandbox.model import Ending, Function, InitResult, InvokeResult, Platform
from tests.sandbox.received import Received, ReceivedRequest

__all__ = [
    "Destination",
    "Ending",
    "Environment",
    "Faults",
    "Function",
    "Hang",
    "InitResult",
    "InvokeResult",
    "Ok",
    "Partial",
    "Platform",
    "Received",
    "ReceivedRequest",
    "Reset",
    "Slow",
    "Status",
    "retry_after",
]
