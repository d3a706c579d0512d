"""VictoriaMetrics, which takes OTLP's metrics in protobuf alone, behind the built layer.

Run by `make examples`, not with the other tests: it comes from Debian's unstable suite.
"""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_otlp_intake import HANDLER, accepted, intake
from tests.sandbox.realparts import UnavailableError, victoria_path

pytestmark = [pytest.mark.e2e, pytest.mark.synth]

__all__ = ["intake"]


class Victoria:
    """A database of metrics.

    Attributes:
        endpoint: Where it takes OTLP, as the base of all signals.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.endpoint = f"{self._url}/opentelemetry"

    def asked(self, path: str) -> str:
        """What it answers."""
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:  # noqa: S310 - ours
            return str(answer.read().decode())

    def values(self, name: str) -> list[float]:
        """All samples of a metric, in order of time, whatever their labels."""
        self.asked("/internal/force_flush")
        query = urllib.parse.quote(f'{{__name__="{name}"}}')
        series = [json.loads(line) for line in self.asked(f"/api/v1/export?match[]={query}").splitlines()]
        samples = [pair for one in series for pair in zip(one["timestamps"], one["values"], strict=True)]
        return [value for _, value in sorted(samples)]


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Victoria]:
    """It, with nothing in it."""
    try:
        binary = victoria_path()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = [f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={tmp_path / 'data'}"]
    command = [str(binary), *where, "-retentionPeriod=1d", "-memory.allowedBytes=64MB"]
    with (tmp_path / "victoria.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            found = Victoria(port)
            _wait_for(found)
            yield found
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(victoria: Victoria) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            victoria.asked("/health")
        except OSError:
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.05)
        else:
            return


def test_metrics_of_the_sdk_and_of_the_extension_arrive_once_with_no_setting_of_the_encoding(
    start: Start, intake: dict[str, str], victoria: Victoria
) -> None:
    """Protobuf is what the layer tries first: nobody is told 400."""
    settings = {**intake, "TAILRACE_SIGNALS": "metrics", "OTEL_EXPORTER_OTLP_ENDPOINT": victoria.endpoint}
    run = start(handler=HANDLER, timeout_s=20.0, WITH_SDK="1", TAILRACE_FLUSH="end", **settings)
    for number in range(3):
        run.invoke(say=f"call {number}:", count=7, flush=True)
    run.end()
    assert victoria.values("app.calls") == [7, 14, 21]
    assert sum(victoria.values("faas.invocations")) == 3
    assert accepted(run)["metrics"] == {"accepted": 3, "shipped": 3}
    assert [line for line in run.lines() if line["level"] != "info"] == []


def test_who_chose_json_is_told_of_protobuf(start: Start, intake: dict[str, str], victoria: Victoria) -> None:
    """An explicit choice is kept, the log names what would be taken, and the ledger what stayed for it."""
    settings = {**intake, "TAILRACE_SIGNALS": "metrics", "OTEL_EXPORTER_OTLP_ENDPOINT": victoria.endpoint}
    run = start(handler=HANDLER, timeout_s=20.0, WITH_SDK="1", OTEL_EXPORTER_OTLP_PROTOCOL="http/json", **settings)
    run.invoke(say="call", count=7, flush=True)
    run.end()
    (told,) = run.events("shipper.encoding_refused")
    assert "http/protobuf" in json.dumps(told)
    (ledger,) = run.events("lifecycle.ended")
    assert ledger["left"] == {"status_400": ledger["accepted"]}
    assert victoria.values("app.calls") == []
