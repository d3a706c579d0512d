"""The collector as a whole, over real sockets and pipes."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from collector.handler import MOST_LINES
from collector.limits import MOST_CONNECTIONS
from collector.timeouts import Timeouts
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.log import LINE_START
from lifecycle.contract.spool import Spool
from tests.collector.support import GIVE_UP_S, Running, batch, chunked, event, post

ID = "459921b5-681c-4a96-beb0-81e0aa586026"
BIG = 900_000

# For so long Linux waits for something to send an acknowledgement with.
DELAYED_ACK_S = 0.04


def big(name: str, size: int = BIG) -> bytes:
    """A batch of about `size` bytes."""
    return batch(event(name + "x" * size))


def test_a_batch_is_stored_as_delivered_before_it_is_acknowledged() -> None:
    """200 comes after the report, and the backlog holds the body byte for byte."""
    body = batch(event(), event({"requestId": ID, "status": "success"}, "platform.runtimeDone"))
    with Running() as collector:
        assert collector.client().ask(post(body)) == 200
        assert collector.has_report()
        stored = collector.stored()
        assert (stored.events, stored.body_bytes, stored.finished) == (2, len(body), (ID,))
        frame = collector.frame(stored)
        assert (bytes(frame.payload), frame.events, frame.digest) == (body, 2, stored.digest)
        assert collector.lines == []


def test_pipelined_requests_are_answered_in_order() -> None:
    """Sized and chunked, good and bad, sent in one go: the answers come in the order of the requests."""
    bodies = [batch(event(str(n))) for n in range(3)]
    sent = post(bodies[0]) + post(b"{") + chunked(bodies[1]) + post(b"", method="GET") + post(bodies[2])
    with Running() as collector:
        client = collector.client()
        client.send(sent)
        assert [client.status() for _ in range(5)] == [200, 400, 200, 405, 200]
        reports = [collector.report() for _ in range(5)]
        assert [collector.payload(r) for r in reports if isinstance(r, wire.Stored)] == bodies


def test_a_request_in_single_bytes_is_taken() -> None:
    """However a request is cut, it is the same request."""
    body = batch()
    with Running() as collector:
        client = collector.client()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(body):
            client.send(bytes((byte,)))
        assert client.status() == 200
        assert collector.payload(collector.stored()) == body


def test_a_head_is_acknowledged_before_its_body_came() -> None:
    """A platform that writes them apart, and waits in between as TCP lets it, does not wait for 40 ms."""
    took_s = []
    with Running() as collector:
        client = collector.client()
        for number in range(5):
            head, _, body = post(batch(event(str(number)))).partition(b"\r\n\r\n")
            began = time.monotonic()
            client.send(head + b"\r\n\r\n")
            assert client.ask(body) == 200
            took_s.append(time.monotonic() - began)
    assert sorted(took_s[1:])[1] < DELAYED_ACK_S


def test_expect_continue_is_answered_before_the_body() -> None:
    """A peer that waits for 100 Continue gets it, and then 200."""
    request = post(batch(), "Expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    with Running() as collector:
        client = collector.client()
        assert client.ask(head + b"\r\n\r\n") == 100
        assert client.ask(body) == 200


def test_connection_close_and_http_1_0_end_the_connection() -> None:
    """The answer says so, and then the connection is closed."""
    with Running() as collector:
        for request in (post(batch(event("a")), "Connection: close"), post(batch(event("b")), version="1.0")):
            client = collector.client()
            client.send(request)
            answer = client.answer()
            assert answer is not None
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            assert client.answer() is None


def test_a_peer_that_shuts_its_side_still_gets_its_answer() -> None:
    """Half-closed after a whole request: answered, then closed."""
    with Running() as collector:
        client = collector.client()
        client.send(post(batch()))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.status() == 200
        assert client.answer() is None


def test_answers_are_sent_to_a_slow_reader_that_sends_no_more() -> None:
    """Thousands of requests, one end of the connection shut, answers read last: every one is there."""
    count = 60_000
    with Running() as collector:
        client = collector.client()
        sender = threading.Thread(target=client.send, args=(post(b"[]") * count,))
        sender.start()
        collector.client().ask(post(batch()))
        sender.join(0.5)
        reader = client.sock.makefile("rb")
        answers = b"".join(iter(lambda: reader.read1(65_536) if sender.is_alive() else b"", b""))
        client.sock.shutdown(socket.SHUT_WR)
        assert (answers + reader.read()).count(b"HTTP/1.1 200 OK\r\n") == count


def test_a_body_beyond_the_limit_is_refused_and_the_answer_arrives() -> None:
    """A peer that sends all of its 20 MiB before it reads still finds 413 and not a reset connection."""
    with Running() as collector:
        client = collector.client()
        size = 20 << 20
        client.send(post(b"x" * size))
        answer = client.answer()
        assert answer is not None
        assert answer.status == 413
        assert answer.body == (
            b'{"error":"too_large","got":"a body of 20971520 bytes","expected":"no more than 1048576"}'
        )
        assert client.answer() is None
        assert collector.refused() == wire.Refused(reason="too_large", status=413, body_bytes=size)
        assert collector.client().ask(post(batch())) == 200


def test_a_thousand_malformed_requests_between_good_ones() -> None:
    """Each is answered 400 and counted, few are logged, and every good one is kept."""
    bad = [b"{", b"[1,]", b"{}", b"\xff", b'["\xff"]', b"nul", b"[" * 50, b'[{"type":}]', b"", b"[]]"]
    bodies = [batch(event(f"{n}")) for n in range(100)]
    with Running() as collector:
        client = collector.client()
        for body in bodies:
            assert [client.ask(post(one)) for one in bad] == [400] * len(bad)
            assert client.ask(post(body)) == 200
            assert all(isinstance(collector.report(), wire.Refused) for _ in bad)
            assert collector.payload(collector.stored()) == body
        assert len(collector.warnings()) == 2 * MOST_LINES
        assert collector.warnings()[0] == {
            "logger": "tailrace.collector", "level": "warning", "event": "collector.request_refused",
            "reason": "malformed", "status": 400, "got": "Input data was truncated", "expected": "a JSON array",
            "body_bytes": 1,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (b"HELO\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", 400, "bad_request"),
        (post(b"[]", "Connection: Upgrade", "Upgrade: h2c"), 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 20_000, 431, "headers_too_large"),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 405, "bad_method"),
        (post(b"", "Connection: close", method="PUT"), 405, "bad_method"),
    ],
)
def test_what_ends_a_connection_is_answered_and_the_next_one_served(
    request_bytes: bytes, status: int, reason: str
) -> None:
    """One answer, one report, one warning line, the connection closed; a new one works."""
    with Running() as collector:
        client = collector.client()
        assert client.ask(request_bytes) == status
        assert client.answer() is None
        refused = collector.refused()
        assert (refused.reason, refused.status) == (reason, status)
        assert [line["reason"] for line in collector.warnings()] == [reason]
        assert collector.client().ask(post(batch())) == 200


def test_a_head_request_is_answered_without_a_body() -> None:
    """What follows the head of its answer is the next answer."""
    with Running() as collector:
        client = collector.client()
        client.send(b"HEAD / HTTP/1.1\r\n\r\n" + post(batch()))
        answer = client.answer(has_body=False)
        assert answer is not None
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert client.status() == 200


def test_a_request_cut_off_is_reported() -> None:
    """A peer that dies in the middle of a body leaves one report and no batch."""
    with Running() as collector:
        client = collector.client()
        client.send(post(batch())[:-5])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.status() == 400
        assert collector.refused().reason == "cut_off"


def test_an_empty_array_is_acknowledged_and_nothing_is_stored() -> None:
    """`[]` is 200 without a report."""
    with Running() as collector:
        client = collector.client()
        assert client.ask(post(b"[]")) == 200
        assert client.ask(post(b" [ ] ")) == 200
        assert not collector.has_report()


def test_a_replaced_collector_acknowledges_a_repeat() -> None:
    """What another process stored is not stored again; what it did not is, behind the first."""
    body = batch(event("once"))
    with Running() as first:
        assert first.client().ask(post(body)) == 200
        stored = first.stored()
        listener = first.listener.dup()
        first.stop()
        with Running(
            backlog=first.backlog, end=stored.end, released=0, recent=[stored.digest], listener=listener
        ) as second:
            client = second.client()
            assert client.ask(post(body)) == 200
            assert second.report() == wire.Repeated(events=1, digest=stored.digest)
            assert client.ask(post(batch(event("twice")))) == 200
            assert second.stored().start == stored.end
            assert second.payload(stored) == body


def test_connections_made_while_no_collector_runs_are_served_by_the_next() -> None:
    """The listener belongs to the supervisor: who connects meanwhile waits in the kernel."""
    with Running() as first:
        first.stop()
        early = socket.create_connection(("127.0.0.1", first.port), timeout=GIVE_UP_S)
        early.sendall(post(batch()))
        with Running(listener=first.listener.dup()), early:
            assert early.recv(100).startswith(b"HTTP/1.1 200")


def test_a_full_backlog_holds_the_request_until_room_is_released() -> None:
    """No answer while there is no room; in order, and 200, once there is."""
    with Running() as collector:
        first, second, third = (collector.client() for _ in range(3))
        assert [first.ask(post(big(name))) for name in "ab"] == [200, 200]
        stored = [collector.stored(), collector.stored()]
        held = [big("c"), batch(event("small")), batch(event("last"))]
        first.send(post(held[0]))
        collector.crowded()
        second.send(post(b"{}"))
        assert (second.status(), collector.refused().reason) == (400, "not_an_array")
        assert not collector.has_report()
        collector.release(stored[1].end)
        assert first.status() == 200
        assert collector.payload(collector.stored()) == held[0]
        assert third.ask(post(held[1])) == 200
        assert collector.warnings()[1:] == []


def test_who_comes_later_waits_behind_the_batch_that_waits() -> None:
    """A small batch that would fit does not overtake a large one that does not."""
    with Running(level="debug") as collector:
        first, second = collector.client(), collector.client()
        assert [first.ask(post(big(name))) for name in "ab"] == [200, 200]
        stored = [collector.stored(), collector.stored()]
        first.send(post(big("c")))
        wait_for(collector, "collector.batch_held")
        second.send(post(batch(event("small"))))
        wait_for(collector, "collector.batch_held", count=2)
        collector.crowded()
        assert not collector.has_report()
        collector.release(stored[1].end)
        assert [first.status(), second.status()] == [200, 200]
        assert collector.stored().body_bytes > BIG
        assert collector.stored().body_bytes < 100


def test_a_full_backlog_that_stays_full_is_answered_503() -> None:
    """After the hold the platform is told to keep the batch; it is counted; a repeat is stored once there is room."""
    with Running(timeouts=Timeouts(room_s=0.2)) as collector:
        client = collector.client()
        assert [client.ask(post(big(name))) for name in "ab"] == [200, 200]
        stored = [collector.stored(), collector.stored()]
        assert client.ask(post(big("c"))) == 503
        collector.crowded()
        assert collector.refused().reason == "full"
        collector.release(stored[1].end)
        assert client.ask(post(big("c"))) == 200


def test_a_batch_sent_twice_while_it_waits_is_stored_once() -> None:
    """A peer that gave up and sent again on another connection: stored, then repeated."""
    with Running(level="debug") as collector:
        first, second = collector.client(), collector.client()
        assert [first.ask(post(big(name))) for name in "ab"] == [200, 200]
        stored = [collector.stored(), collector.stored()]
        first.send(post(big("c")))
        wait_for(collector, "collector.batch_held")
        second.send(post(big("c")))
        wait_for(collector, "collector.batch_held", count=2)
        collector.release(stored[1].end)
        assert [first.status(), second.status()] == [200, 200]
        collector.crowded()
        assert isinstance(collector.report(), wire.Stored)
        assert isinstance(collector.report(), wire.Repeated)


def test_slow_connections_hold_nobody_up() -> None:
    """Silent, half-sent and one-byte peers beside one that works."""
    with Running() as collector:
        for start in (b"", b"PO", post(batch())[:-1], post(b"x" * 1000)[:-900], b"\r\n"):
            collector.client().send(start)
        client = collector.client()
        assert [client.ask(post(batch(event(str(n))))) for n in range(50)] == [200] * 50


def test_a_request_that_stalls_is_ended_after_its_time() -> None:
    """408 on it, while a silent connection between two requests is left alone."""
    with Running(timeouts=Timeouts(stall_s=0.2)) as collector:
        idle, slow = collector.client(), collector.client()
        assert idle.ask(post(batch(event("1")))) == 200
        assert slow.ask(post(batch())[:-1]) == 408
        assert slow.answer() is None
        assert idle.ask(post(batch(event("2")))) == 200
        assert [type(collector.report()) for _ in range(3)] == [wire.Stored, wire.Refused, wire.Stored]


def test_more_connections_than_allowed_close_the_idle_ones() -> None:
    """The newest are served, whoever was idle longest goes."""
    with Running() as collector:
        clients = [collector.client() for _ in range(MOST_CONNECTIONS + 10)]
        assert clients[-1].ask(post(batch())) == 200
        assert clients[0].answer() is None


def test_a_spool_that_cannot_be_used_is_said_with_what_it_did_not_take() -> None:
    """Whoever asked for it learns why it is empty."""
    backlog = Backlog(2 << 20, Spool("/proc/self/nowhere", 8 << 20, frame_limit_bytes=1 << 20))
    with Running(backlog=backlog, timeouts=Timeouts(room_s=0.2, spill_s=0.05)) as collector:
        client = collector.client()
        assert [client.ask(post(big(name))) for name in "ab"] == [200, 200]
        assert client.ask(post(big("c"))) == 503
        (line,) = collector.lines
        assert "a full backlog for 0.2 s; the spool: /proc/self/nowhere: " in line["got"]


def test_connections_full_of_half_requests_give_way() -> None:
    """When every place is taken by a request that stalls, those are ended soon."""
    with Running(timeouts=Timeouts(pressed_stall_s=0.1)) as collector:
        for _ in range(MOST_CONNECTIONS):
            collector.client().send(b"POST")
        assert collector.client().ask(post(batch())) == 200


def test_beyond_the_limit_the_one_silent_for_longest_is_left_aside_until_there_is_a_place() -> None:
    """Every place taken by a request under way: whoever comes is served at once, and who made room goes on later."""
    head = post(b"[]", "Expect: 100-continue")[:-2]
    with Running(timeouts=Timeouts(pressed_stall_s=1.0, pressed_request_s=1000)) as collector:
        busy = []
        for _ in range(MOST_CONNECTIONS + 1):
            busy.append(collector.client())
            assert busy[-1].ask(head) == 100
        began_s = time.monotonic()
        assert collector.client().ask(post(batch())) == 200
        assert time.monotonic() - began_s < 0.9
        assert busy[0].ask(b"[]") == 200


def test_half_sent_bodies_beyond_the_memory_limit_give_way() -> None:
    """Peers that each keep most of a batch and then fall silent: memory is bounded and the next batch is taken."""
    with Running(timeouts=Timeouts(pressed_stall_s=0.1)) as collector:
        size = collector.limit
        hogs = [collector.client() for _ in range(5)]
        senders = [threading.Thread(target=lambda hog=hog: quietly(hog.sock, post(b"x" * size)[:-9])) for hog in hogs]
        for sender in senders:
            sender.start()
        client = collector.client()
        assert [client.ask(post(batch(event(str(n))))) for n in range(10)] == [200] * 10
        for hog in hogs:
            hog.sock.close()
        for sender in senders:
            sender.join(GIVE_UP_S)


def test_own_lines_alone_leave_no_trace() -> None:
    """A batch of nothing but our own lines is acknowledged, not stored, not reported, not logged: no endless loop."""
    line = LINE_START + 'shipper","level":"debug","event":"shipper.batch_shipped"}\n'
    own = [event(line, "extension"), event({"logger": "tailrace.collector", "level": "debug"}, "extension")]
    with Running(level="debug") as collector:
        client = collector.client()
        assert client.ask(post(batch(*own))) == 200
        assert not collector.has_report()
        assert [line["event"] for line in collector.lines] == ["collector.started"]
        assert client.ask(post(batch(*own, event()))) == 200
        assert collector.stored().events == 3


def test_a_batch_can_be_followed_in_the_log() -> None:
    """At debug: started, accepted, stored, repeated, released, closed."""
    with Running(level="debug") as collector:
        client = collector.client()
        assert [client.ask(post(batch())) for _ in range(2)] == [200, 200]
        collector.release(collector.stored().end)
        wait_for(collector, "collector.backlog_released")
        collector.stop()
        assert [line["event"] for line in collector.lines] == [
            "collector.started", "collector.connection_accepted", "collector.batch_stored",
            "collector.batch_repeated", "collector.backlog_released", "collector.connection_closed",
        ]  # fmt: skip


def test_the_collector_ends_when_nobody_reads_its_reports() -> None:
    """A supervisor that is gone ends it, without an answer to the platform."""
    collector = Running()
    with collector:
        os.close(collector.reports)
        client = collector.client()
        client.send(post(batch()))
        collector.thread.join(GIVE_UP_S)
        assert not collector.thread.is_alive()
        assert client.answer() is None
        collector.reports = os.open(os.devnull, os.O_RDONLY)


def test_lines_over_tcp_become_arrays() -> None:
    """Complete lines are one frame; an unfinished one waits for its end."""
    lines = [batch(event(str(n)))[1:-1] for n in range(3)]
    with Running(protocol="tcp") as collector:
        client = collector.client()
        client.send(b"\n".join(lines) + b"\n" + lines[0][:9])
        assert collector.payload(stored := collector.stored()) == b"[" + b",".join(lines) + b"]"
        assert stored.events == 3
        client.send(lines[0][9:])
        client.sock.shutdown(socket.SHUT_WR)
        assert collector.payload(collector.stored()) == b"[" + lines[0] + b"]"


def test_malformed_lines_over_tcp_are_refused_and_the_others_kept() -> None:
    """One report and one warning for each, also for two halves that would be whole together."""
    good = batch()[1:-1]
    with Running(protocol="tcp") as collector:
        client = collector.client()
        client.send(b"\n".join((good, b"nonsense", b"", good, b'{"type":"a', b'b"}', b"7", good)) + b"\n")
        assert [collector.refused().reason for _ in range(4)] == ["malformed"] * 4
        assert collector.stored().events == 3
        assert len(collector.warnings()) == 4


def test_a_full_backlog_over_tcp_holds_back_the_platform_without_losing_a_line() -> None:
    """Far more than the backlog and the kernel hold: the sender waits, and every line arrives in order."""
    count, size = 80, 100_000
    with Running(protocol="tcp") as collector:
        client = collector.client()
        lines = b"".join(batch(event(f"{n:04}" + "x" * size))[1:-1] + b"\n" for n in range(count))
        sender = threading.Thread(target=client.send, args=(lines,))
        sender.start()
        seen: list[str] = []
        while len(seen) < count:
            report = collector.report()
            if isinstance(report, wire.Crowded):  # that it is full may be said, too
                continue
            assert isinstance(report, wire.Stored)
            frame = collector.payload(report)
            seen += [record.decode() for record in frame.split(b'"record":"')[1:]]
            collector.release(report.end)
        sender.join(GIVE_UP_S)
        assert [int(record[:4]) for record in seen] == list(range(count))
        assert collector.warnings() == []


def wait_for(collector: Running, name: str, count: int = 1) -> None:
    """Waits until the log says `name` for the `count`-th time."""
    seen = threading.Event()
    for _ in range(int(GIVE_UP_S * 200)):
        if [line["event"] for line in list(collector.lines)].count(name) >= count:
            return
        seen.wait(0.005)
    raise AssertionError(f"{name} was not logged {count} times: {collector.lines}")


def quietly(sock: socket.socket, data: bytes) -> None:
    """Sends what the other side takes."""
    try:
        sock.sendall(data)
    except OSError:
        return


def test_a_collector_imports_nothing_heavy() -> None:
    """What it needs beside msgspec is httptools and built-in modules."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import collector.server;"
        "heavy = 'socket logging asyncio ssl http email json hashlib structlog tenacity'.split();"
        "print(*(name for name in heavy if name in sys.modules))"
    )
    command = [sys.executable, "-IS", "-c", code, *sys.path]
    assert subprocess.run(command, capture_output=True, check=True, timeout=GIVE_UP_S).stdout == b"\n"


def test_restored_copy_of_a_snapshot_names_its_batches_differently() -> None:
    """Else two copies that say the same in the same millisecond would share their ids."""
    with Running() as running:
        client = running.client()
        body = batch(event("same"))
        assert client.ask(post(body)) == 200
        before = running.stored().digest
        running.restore(b"another key")
        running.release(0)
        assert client.ask(post(body)) == 200
        assert running.stored().digest != before


def test_a_collector_that_is_asked_whether_it_is_there_answers() -> None:
    """With nothing to collect, and while a request is incomplete."""
    with Running() as collector:
        for _ in range(2):
            wire.send(collector.commands, wire.Ping())
            assert collector.report() == wire.Pong()
            collector.client().send(b"POST / HTTP/1.1\r\nHost: h\r\n")
