"""A backend of every signal, and the shipper's reports on it, for tests of the whole process."""

import gzip
import socket
from typing import Any

from lifecycle.contract.wire import Shipped
from tests.sandbox.otlp import decoded
from tests.shipper.support import Server, http
from tests.shipper.test_worker import Supervisor

EVERY = {"TAILRACE_SIGNALS": "logs,traces,metrics", "TAILRACE_PLATFORM_LOGS": "0"}


class Backend:
    """Answers each signal as told, for ever with the last answer; 200 to those nothing is told of."""

    def __init__(self, server: Server, **answers: list[bytes]) -> None:
        self.answers = answers
        self.bodies: dict[str, list[bytes]] = {"logs": [], "traces": [], "metrics": []}
        server.behaviours = [self._serve]
        self._server = server

    def _serve(self, connection: socket.socket) -> None:
        while True:
            head, body = self._server.read(connection)
            signal = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            self.bodies[signal].append(gzip.decompress(body))
            connection.sendall(self.answer(signal))

    def answer(self, signal: str) -> bytes:
        """What the request of a signal that has just been read is answered."""
        told = self.answers.get(signal, [http(200)])
        return told.pop(0) if len(told) > 1 else told[0]

    def count(self, signal: str) -> int:
        """Requests of a signal."""
        return len(self.bodies[signal])

    def spans(self) -> list[Any]:
        """Spans that arrived."""
        return [
            span
            for body in self.bodies["traces"]
            for span in decoded("traces", body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        ]

    def lines(self) -> list[str]:
        """Bodies of the log records that arrived, in order."""
        return [
            record["body"]["stringValue"]
            for body in self.bodies["logs"]
            for scope in decoded("logs", body)["resourceLogs"][0]["scopeLogs"]
            for record in scope["logRecords"]
        ]


def settled(supervisor: Supervisor, until: int) -> Shipped:
    """The report that ends a shipment, its counts those of all its reports together."""
    reports = supervisor.reports_until(until)
    events = sum(report.past for report in reports)
    dropped: dict[str, int] = {}
    for report in reports:
        for reason, count in report.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    last = reports[-1]
    return Shipped(through=last.through, events=events, dropped=dropped, context=last.context, owes=last.owes)
