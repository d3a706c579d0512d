"""Extensions for the sandbox's own tests: one stdlib-only script whose behaviour is written into it.

The script registers, subscribes, asks for events, and writes everything it saw into a file of JSON lines.
It also serves the emulator's tests, where it runs as another user under another interpreter.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# Longer than any delivery takes; a test that meets it has failed.
_PATIENCE_S = 15.0

_SOURCE = """#!/usr/bin/env python3
import http.client, json, os, socket, subprocess, sys, threading, time
BEHAVIOUR = json.loads(%r)
SEEN = %r
lock = threading.Lock()
def saw(kind, **facts):
    with lock, open(SEEN, "a") as file:
        file.write(json.dumps({"kind": kind, "at": time.monotonic(), **facts}) + "\\n")
def generation():
    return sum(1 for line in open(SEEN) if '"kind": "started"' in line)
def receive(connection):
    stream = connection.makefile("rb")
    while True:
        head = b""
        while not head.endswith(b"\\r\\n\\r\\n"):
            line = stream.readline()
            if not line:
                return
            head += line
        low = head.lower()
        if b"transfer-encoding: chunked" in low:
            body = b""
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
            stream.readline()
        else:
            body = stream.read(int(low.split(b"content-length:")[1].split()[0]))
        answers = BEHAVIOUR.get("answers")
        status = answers.pop(0) if answers else 200
        time.sleep(BEHAVIOUR.get("answer_after_s", 0))
        saw("batch", status=status, path=head.split()[1].decode(), events=json.loads(body))
        connection.sendall(b"HTTP/1.1 %%d X\\r\\nContent-Length: 0\\r\\n\\r\\n" %% status)
def receive_lines(connection):
    for line in connection.makefile("rb"):
        saw("batch", status=200, path="tcp", events=[json.loads(line)])
def listen(port=0):
    server = socket.create_server(("127.0.0.1", port))
    target = receive_lines if BEHAVIOUR.get("protocol") == "TCP" else receive
    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=target, args=(connection,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, headers, body=None):
    api.request(method, path, body, headers)
    answer = api.getresponse()
    text = answer.read().decode()
    saw("answer", path=path, status=answer.status, text=text)
    return answer, text
def leave(when):
    if BEHAVIOUR.get("exit_at") == when and (not BEHAVIOUR.get("once") or generation() == 1):
        os._exit(BEHAVIOUR.get("exit_code", 1))
saw("started", environ=dict(os.environ), pid=os.getpid(), uid=os.getuid(), cwd=os.getcwd())
if BEHAVIOUR.get("print"):
    print(BEHAVIOUR["print"], flush=True)
if BEHAVIOUR.get("ticks"):
    def tick():
        while True:
            saw("tick")
            time.sleep(0.01)
    threading.Thread(target=tick, daemon=True).start()
if BEHAVIOUR.get("child"):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
port = 0
if not BEHAVIOUR.get("deaf"):
    port = listen()
leave("started")
if BEHAVIOUR.get("hang_at") == "started" and generation() == 1:
    time.sleep(60)
time.sleep(BEHAVIOUR.get("register_after_s", 0))
base = "/2020-01-01/extension"
name = os.path.basename(__file__)
answer, _ = call("POST", base + "/register", {"Lambda-Extension-Name": name},
    json.dumps({"events": BEHAVIOUR.get("events", ["INVOKE", "SHUTDOWN"])}))
identity = {"Lambda-Extension-Identifier": answer.getheader("Lambda-Extension-Identifier", "")}
failing = {**identity, "Lambda-Extension-Function-Error-Type": "Scripted.Error"}
leave("registered")
if BEHAVIOUR.get("init_error"):
    call("POST", base + "/init/error", failing, "{}")
    os._exit(1)
if BEHAVIOUR.get("deaf"):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
def subscribe():
    target = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:%%d/telemetry" %% port}
    if BEHAVIOUR.get("protocol") == "TCP":
        target = {"protocol": "TCP", "port": port}
    wanted = {"schemaVersion": BEHAVIOUR.get("schema", "2022-12-13"),
        "types": BEHAVIOUR.get("types", ["platform", "function", "extension"]),
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25, **BEHAVIOUR.get("buffering", {})},
        "destination": target}
    return call("PUT", BEHAVIOUR.get("subscribe", "/2022-07-01/telemetry"), identity, json.dumps(wanted))
if BEHAVIOUR.get("subscribe") != "":
    try:
        subscribe()
    except (OSError, http.client.HTTPException) as error:
        saw("lost", error=repr(error))
        api.close()
time.sleep(BEHAVIOUR.get("next_after_s", 0))
while True:
    try:
        answer, text = call("GET", base + "/event/next", identity)
    except (OSError, http.client.HTTPException) as error:
        saw("lost", error=repr(error))
        os._exit(1)
    if answer.status != 200:
        os._exit(1)
    event = json.loads(text)
    if event["eventType"] == "SHUTDOWN":
        time.sleep(BEHAVIOUR.get("shutdown_s", 0.15))
        sys.exit(BEHAVIOUR.get("shutdown_code", 0))
    if event["eventType"] == "INVOKE":
        leave("invoke")
        if BEHAVIOUR.get("exit_error"):
            call("POST", base + "/exit/error", failing, "{}")
            os._exit(1)
        if BEHAVIOUR.get("deaf"):
            listen(port)
            BEHAVIOUR["deaf"] = False
        if BEHAVIOUR.get("late_subscribe"):
            subscribe()
        time.sleep(BEHAVIOUR.get("hold_s", 0))
"""

HANDLER = """
import os, time
def handler(event, context):
    for n in range(event.get("lines", 0)):
        print(f"line {n} " + "x" * event.get("width", 0))
    if "say" in event:
        print(event["say"])
    if "log" in event:
        import logging
        logging.getLogger().warning(event["log"])
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])
    return {"got": event}
"""


@dataclass(frozen=True)
class Scripted:
    """A scripted extension that was written, and what it has seen so far."""

    path: Path
    seen_path: Path

    def seen(self, kind: str) -> list[dict[str, Any]]:
        """Everything of one kind: started, answer, batch, tick, lost."""
        entries = [json.loads(line) for line in self.seen_path.read_text().splitlines()]
        return [entry for entry in entries if entry["kind"] == kind]

    def events(self, *types: str) -> list[dict[str, Any]]:
        """The telemetry events taken (answered 2xx), in order, perhaps of some types only."""
        taken = [event for batch in self.seen("batch") if batch["status"] < 300 for event in batch["events"]]
        return [event for event in taken if not types or event["type"] in types]

    def wait_for(self, count: int, *types: str) -> None:
        """Waits until so many events have been taken, perhaps of some types only."""
        limit_s = time.monotonic() + _PATIENCE_S
        while (taken := len(self.events(*types))) < count:
            assert time.monotonic() < limit_s, f"{taken} events in {_PATIENCE_S} s, expected {count}"
            time.sleep(0.01)

    def types(self) -> list[str]:
        """The types of the events taken."""
        return [event["type"] for event in self.events()]

    def answers(self, path_end: str) -> list[tuple[int, str]]:
        """What the platform answered on one path: status and body."""
        return [(a["status"], a["text"]) for a in self.seen("answer") if a["path"].endswith(path_end)]


def write_extension(layer: Path, name: str = "scripted", **behaviour: Any) -> Scripted:
    """Write an extension into `layer/extensions`; the keys of its behaviour are those the script reads."""
    directory = layer / "extensions"
    directory.mkdir(parents=True, exist_ok=True)
    path, seen_path = directory / name, layer.parent / f"{name}.seen.jsonl"
    path.write_text(_SOURCE % (json.dumps(behaviour), str(seen_path)))
    path.chmod(0o755)
    seen_path.touch()
    # On managed instances the extension is not root.
    seen_path.chmod(0o666)
    return Scripted(path, seen_path)


def write_handler(directory: Path, source: str = HANDLER) -> Path:
    """Write `app.py` with a handler that does what the payload says."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "app.py").write_text(source)
    return directory
