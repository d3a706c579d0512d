"""HTTP answers as bytes (RFC 9112, section 4).

Error bodies are short JSON that says what came and what was expected.
"""

import msgspec

from collector.messages import Problem

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
OK_AND_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_PHRASES = {
    400: "Bad Request",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}

# RFC 9110 wants Allow with every 405 (15.5.6); Retry-After tells when a full backlog is worth another try.
_EXTRA = {405: "Allow: POST\r\n", 503: "Retry-After: 1\r\n"}


def taken(*, keep_alive: bool) -> bytes:
    """The answer to a batch that is kept."""
    return OK if keep_alive else OK_AND_CLOSE


def refused(problem: Problem) -> bytes:
    """The answer to a request that is not taken."""
    body = msgspec.json.encode({"error": problem.reason, "got": problem.got, "expected": problem.expected})
    head = (
        f"HTTP/1.1 {problem.status} {_PHRASES[problem.status]}\r\n"
        f"{_EXTRA.get(problem.status, '')}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if problem.keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if problem.is_head else body)
