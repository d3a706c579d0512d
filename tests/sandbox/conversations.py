"""Conversations with the Extensions API: what is asked, turn by turn, for the emulator and the sandbox alike.

A conversation is held by an extension (a stdlib-only script); what was answered lands in a file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EXTENSION = "/2020-01-01/extension"
TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"

# Stand for what is known only in the conversation.
OWN_ID = "{own id}"
NAME = "Lambda-Extension-Name"
ID = "Lambda-Extension-Identifier"
FEATURE = "Lambda-Extension-Accept-Feature"
ERROR_TYPE = "Lambda-Extension-Function-Error-Type"
STRANGER = "5b0a0a2e-2b63-4b0f-8c3e-0d7f1e6ad301"

OWN = {ID: OWN_ID}
FAILING = {ID: OWN_ID, ERROR_TYPE: "Talker.Error"}
BOTH = '{"events":["INVOKE","SHUTDOWN"]}'
SHUTDOWN_ONLY = '{"events":["SHUTDOWN"]}'

_SCRIPT = """#!/usr/bin/env python3
import http.client, json, os, sys
TURNS = json.loads(%r)
SAID = %r
own_id = ""
def say(turn):
    global own_id
    headers = {name: value.replace("{own id}", own_id) for name, value in turn["headers"].items()}
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request(turn["method"], turn["path"], turn["body"], headers)
    answer = api.getresponse()
    text = answer.read().decode()
    own_id = answer.getheader("Lambda-Extension-Identifier") or own_id
    with open(SAID, "a") as file:
        file.write(json.dumps([answer.status, text.replace(own_id or "{", "{own id}" if own_id else "{")]) + "\\n")
    return answer.status, text
for turn in TURNS:
    say(turn)
status, text = 200, ""
while status == 200 and "SHUTDOWN" not in text:
    headers = {"Lambda-Extension-Identifier": own_id}
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request("GET", "/2020-01-01/extension/event/next", headers=headers)
    answer = api.getresponse()
    status, text = answer.status, answer.read().decode()
"""


@dataclass(frozen=True)
class Turn:
    """One request."""

    claim: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True)
class Said:
    """One answer: its status, and type and text of its error if it is one."""

    status: int
    error_type: str | None
    error_message: str | None


def _register(claim: str, headers: dict[str, str], body: str = BOTH) -> Turn:
    return Turn(claim, "POST", f"{EXTENSION}/register", headers, body)


def _next(claim: str, headers: dict[str, str]) -> Turn:
    return Turn(claim, "GET", f"{EXTENSION}/event/next", headers)


def _error(claim: str, kind: str, headers: dict[str, str]) -> Turn:
    return Turn(claim, "POST", f"{EXTENSION}/{kind}/error", headers, "{}")


TALKER = {NAME: "talker"}
CLASSIC: dict[str, list[Turn]] = {
    "a whole life": [
        _register("no name", {}),
        _register("empty name", {NAME: ""}),
        _register("no JSON", TALKER, "nonsense"),
        _register("no body", TALKER, ""),
        _register("unknown event", TALKER, '{"events":["BOGUS"]}'),
        _register("internal extensions hear no SHUTDOWN", {NAME: "inner"}, SHUTDOWN_ONLY),
        _next("next without identifier", {}),
        _next("next with a bad identifier", {ID: "nonsense"}),
        _next("next with a stranger's identifier", {ID: STRANGER}),
        _error("init/error without identifier", "init", {ERROR_TYPE: "A.B"}),
        _error("exit/error with a stranger's identifier", "exit", {ID: STRANGER, ERROR_TYPE: "A.B"}),
        _register("register", {**TALKER, FEATURE: "accountId"}),
        _register("register again", TALKER),
        _error("init/error without a type", "init", OWN),
        _error("exit/error without a type", "exit", OWN),
        Turn("no telemetry on an emulator", "PUT", TELEMETRY, OWN, "{}"),
        Turn("no logs on an emulator", "PUT", LOGS, OWN, "{}"),
        Turn("register takes POST only", "GET", f"{EXTENSION}/register"),
        Turn("no such path", "POST", f"{EXTENSION}/nonsense"),
    ],
    "after the first event": [
        _register("register", TALKER),
        _next("next", OWN),
        _register("register again", TALKER),
        _register("register late", {NAME: "late"}, '{"events":["INVOKE"]}'),
        _error("init/error is too late", "init", FAILING),
        _error("exit/error", "exit", FAILING),
        _next("next after exit/error", OWN),
    ],
    "init error": [
        _register("register", TALKER),
        _error("init/error", "init", FAILING),
        _next("next after init/error", OWN),
    ],
    "exit error before next": [
        _register("register", TALKER),
        _error("exit/error", "exit", FAILING),
        _next("next after exit/error", OWN),
    ],
    "no events": [
        _register("register for nothing", TALKER, '{"events":[]}'),
        _register("register again", TALKER),
    ],
}


def subscription(**changes: object) -> str:
    """A good subscription with some of its fields changed, or (None) left out."""
    good: dict[str, object] = {
        "schemaVersion": "2025-01-29",
        "types": ["platform"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/"},
        **changes,
    }
    return json.dumps({name: value for name, value in good.items() if value is not None})


def _subscribe(claim: str, body: str, headers: dict[str, str] | None = None) -> Turn:
    return Turn(claim, "PUT", TELEMETRY, OWN if headers is None else headers, body)


def _buffering(**changes: int) -> str:
    return subscription(buffering={"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25, **changes})


MANAGED: dict[str, list[Turn]] = {
    "subscribing": [
        _register("no INVOKE on managed instances", TALKER, '{"events":["INVOKE"]}'),
        _subscribe("no identifier", "{}", {}),
        _subscribe("a bad identifier", "{}", {ID: "nonsense"}),
        _subscribe("a stranger's identifier", "{}", {ID: STRANGER}),
        _register("register", {**TALKER, FEATURE: "accountId"}, SHUTDOWN_ONLY),
        _subscribe("no JSON", "nonsense"),
        _subscribe("nothing in it", "{}"),
        _subscribe("an older schema", subscription(schemaVersion="2022-12-13")),
        _subscribe("no schema", subscription(schemaVersion=None)),
        _subscribe("unknown type", subscription(types=["bogus"])),
        _subscribe("no types", subscription(types=[])),
        _subscribe("too few items", _buffering(maxItems=1)),
        _subscribe("too many items", _buffering(maxItems=10001)),
        _subscribe("too few bytes", _buffering(maxBytes=1)),
        _subscribe("too many bytes", _buffering(maxBytes=1048577)),
        _subscribe("too soon", _buffering(timeoutMs=24)),
        _subscribe("too late", _buffering(timeoutMs=30001)),
        _subscribe("nobody listens", subscription(destination={"protocol": "TCP", "port": 1})),
        _subscribe("no destination", subscription(destination=None)),
        _subscribe("unknown protocol", subscription(destination={"protocol": "FTP", "port": 1})),
        _subscribe("another host", subscription(destination={"protocol": "HTTP", "URI": "http://127.0.0.1:8080"})),
        _subscribe("subscribe", subscription()),
        Turn("no Logs API on managed instances", "PUT", LOGS, OWN, "{}"),
    ],
}


def write_talker(layer: Path, turns: list[Turn]) -> Path:
    """Write the extension that holds a conversation; the file its answers land in."""
    directory = layer / "extensions"
    directory.mkdir(parents=True, exist_ok=True)
    said = layer.parent / "said.jsonl"
    said.touch()
    said.chmod(0o666)
    script = directory / "talker"
    script.write_text(_SCRIPT % (json.dumps([asdict(turn) for turn in turns]), str(said)))
    script.chmod(0o755)
    return said


def heard(said: Path, turns: list[Turn]) -> dict[str, Said]:
    """Read the answers, by claim."""
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    answers = {}
    for turn, (status, text) in zip(turns, lines, strict=False):
        # Not parsed as JSON: the emulator does not escape the quotes inside some of its texts.
        error_type = re.search(r'"errorType": ?"([^"]*)"', text)
        message = re.search(r'"errorMessage": ?"(.*?)"[,}]', text)
        answers[turn.claim] = Said(status, error_type[1] if error_type else None, message[1] if message else None)
    return answers
