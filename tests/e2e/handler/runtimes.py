"""What a handler of each runtime prints when it warns that stock is low, in the formats of Lambda and of libraries."""

import json
from collections.abc import Callable
from datetime import datetime, timezone


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(**members: object) -> str:
    return json.dumps({"timestamp": _now(), "message": "stock is low", "left": 2, **members})


# By runtime and format; each is given the request id.
LINES: dict[str, Callable[[str], str]] = {
    "python, text": lambda request: f"[WARNING]\t{_now()}\t{request}\tstock is low",
    "python, JSON": lambda request: _json(level="WARNING", logger="shop", requestId=request),
    "nodejs, text": lambda request: f"{_now()}\t{request}\tWARN\tstock is low",
    "nodejs, JSON": lambda request: _json(level="WARN", requestId=request),
    "java, text": lambda request: f"{_now()[:19].replace('T', ' ')} {request} WARN  Handler:25 - stock is low",
    "java, JSON": lambda request: _json(level="WARN", AWSRequestId=request),
    "ruby, text": lambda request: f"W, [{_now()[:23]}456 #8]  WARN -- {request}: stock is low",
    "ruby, JSON": lambda request: _json(level="WARN", requestId=request),
    "dotnet, text": lambda request: f"{_now()}\t{request}\twarn\tstock is low",
    "dotnet, JSON": lambda request: _json(level="Warning", requestId=request, traceId=""),
    "go, slog as text": lambda request: f'time={_now()} level=WARN msg="stock is low" requestId={request}',
    "go, slog as JSON": lambda request: _json(time=_now(), level="WARN", requestId=request),
    "go, logrus": lambda request: f'time="{_now()}" level=warning msg="stock is low" request_id={request}',
    "go, zap": lambda request: json.dumps({"level": "warn", "ts": 1.7e9, "msg": "stock is low", "requestId": request}),
    "custom, by hand": lambda _request: "WARN: stock is low",
}
