"""Which destination the settings name, and what each of them writes."""

import base64
import errno
import json
import os
import select
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.log import LINE_START
from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations import registry as choose
from shipper.destinations.file import File
from shipper.destinations.http import merged
from shipper.destinations.lines import Lines
from shipper.destinations.ndjson import Ndjson
from shipper.destinations.otlp.destination import Otlp
from shipper.destinations.stdout import LOGGER, Stdout
from shipper.model import resource
from shipper.model.context import NOTHING, Context
from shipper.model.events import events, is_own
from shipper.transport import address
from shipper.transport.proxy import proxy_for
from tests.shipper.support import REQUEST_ID, TIME, event, frame, frame_of, request_of, settings_of
from tests.shipper.support import Lines as LogLines
from tests.shipper.test_telemetry import JSON

ROOT = Path(__file__).parents[2]


def ready(_fd: int, events: int, _until: float) -> int:
    return events


def lines_of(sent: object, lines: Lines, context: Context = NOTHING) -> bytes:
    found = frame(sent)
    lines.begin(found)
    return b"".join(lines.encode(one, index, context) for index, one in enumerate(events(found)))


@pytest.mark.parametrize(
    ("environ", "kind", "label"),
    [
        ({"TAILRACE_DESTINATION": "otlp"}, Otlp, "http://localhost:4318/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://h/x/"}, Otlp, "https://h/x/v1/logs"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://b/c"},
            Otlp,
            "http://b/c",
        ),
        ({"TAILRACE_DESTINATION": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, Otlp, "http://a:1/v1/logs"),
        (
            {"TAILRACE_DESTINATION": "otlp+https://h", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
            Otlp,
            "https://h/v1/logs",
        ),
        ({"TAILRACE_DESTINATION": "otlp+http://h/v1/logs?k=v"}, Otlp, "http://h/v1/logs"),
        ({"TAILRACE_DESTINATION": "https://u:p@h:8443/in?k=v#f"}, Ndjson, "https://h:8443/in"),
        ({"TAILRACE_DESTINATION": "file:/x/y"}, File, "file:/x/y"),
        ({"TAILRACE_DESTINATION": "stdout:"}, Stdout, "stdout:"),
    ],
)
def test_the_settings_name_the_destination(environ: dict[str, str], kind: type, label: str) -> None:
    """And its label holds nothing that must not be logged."""
    destination = choose.chosen(settings_of(**environ), ready, LogLines().log)
    assert (type(destination), destination.label) == (kind, label)


def test_the_nearer_header_wins_and_otlps_go_to_otlp_alone() -> None:
    settings = settings_of(
        OTEL_EXPORTER_OTLP_HEADERS="A=1,B=1,C=1", OTEL_EXPORTER_OTLP_LOGS_HEADERS="b=2,C=2", TAILRACE_HEADERS="c=3"
    )
    assert choose.headers(settings, signal="logs") == {"A": "1", "b": "2", "c": "3"}
    assert choose.headers(settings, signal="") == {"c": "3"}


def test_no_setting_changes_where_a_request_ends() -> None:
    assert merged([("Content-Length", "5"), ("transfer-encoding", "chunked"), ("X", "y")]) == {"X": "y"}


@pytest.mark.parametrize(
    ("environ", "compressed"),
    [
        ({}, True),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip"}, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip", "TAILRACE_COMPRESSION": "none"}, False),
    ],
)
def test_the_nearer_compression_wins(environ: dict[str, str], *, compressed: bool) -> None:
    assert choose.is_compressed(settings_of(**environ), signal="logs") is compressed


def test_the_nearer_timeout_wins() -> None:
    variables = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "TAILRACE_REQUEST_TIMEOUT_MS")
    found = [
        choose.timeout_s(settings_of(**{name: str(n + 1) for n, name in enumerate(variables[:count])}))
        for count in range(4)
    ]
    assert found == [5, 0.001, 0.002, 0.003]


def test_an_address_is_taken_apart() -> None:
    found = address.parse("https://us%40er:p%3Aw@[::1]:8443/a/ü?q=1#f")
    assert (found.host, found.port, found.target) == ("::1", 8443, "/a/%C3%BC?q=1")
    assert found.authorization == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert (found.authority, found.label) == ("[::1]:8443", "https://[::1]:8443/a/%C3%BC")
    assert address.parse("HTTP://h?x").target == "/?x"
    assert address.parse("http://bücher.example").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("api.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("other, API.example.com ", True),
        ("api.example.com:443", True),
        ("api.example.com:80", False),
    ],
)
def test_no_proxy_names_hosts_and_their_subdomains(no_proxy: str, *, direct: bool) -> None:
    proxy = proxy_for(address.parse("https://api.example.com/"), "u:p@proxy:3128", no_proxy)
    assert (proxy is None) is direct
    assert direct or (proxy is not None and (proxy.host, proxy.port) == ("proxy", 3128))


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTPS_PROXY": "http://me:hunter22@proxy:port"},
        {"HTTPS_PROXY": "socks5://proxy:1080"},
        {"HTTPS_PROXY": "https://proxy"},
        {"HTTPS_PROXY": "http://"},
        {"TAILRACE_DESTINATION": "otlp+https://h..x/\udcff"},
        {"TAILRACE_HEADERS": "x=\udcff", "OTEL_SERVICE_NAME": "\udcff", "OTEL_RESOURCE_ATTRIBUTES": "\udcff=\udcff"},
        {"AWS_LAMBDA_FUNCTION_NAME": "\udcff", "TAILRACE_DESTINATION": "stdout:"},
    ],
)
def test_no_setting_keeps_the_shipper_from_starting(environ: dict[str, str]) -> None:
    """Nonsense and bytes that are not UTF-8 included; no value is said."""
    lines = LogLines()
    settings = settings_of(**{"TAILRACE_DESTINATION": "otlp+https://h"} | environ)
    destination = choose.chosen(settings, ready, lines.log)
    destination.endpoints["logs"].build([b"{}"])
    assert lines.events() == (["shipper.proxy_ignored"] if "HTTPS_PROXY" in environ else [])
    assert "hunter" not in str(lines.written)


def test_only_https_goes_through_the_proxy() -> None:
    assert proxy_for(address.parse("http://h/"), "http://proxy", "") is None


def test_the_resource_says_which_function_it_is() -> None:
    settings = settings_of(
        AWS_LAMBDA_FUNCTION_NAME="hello",
        AWS_LAMBDA_FUNCTION_VERSION="7",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256",
        AWS_REGION="us-gov-west-1",
        OTEL_RESOURCE_ATTRIBUTES="service.name=named,team=a,cloud.platform=mine",
    )
    settings.function.account_id = "123456789012"
    settings.function.instance_id = "00aa"
    assert resource.attributes(settings) == {
        "service.name": "named",
        "service.version": "7",
        "faas.name": "hello",
        "faas.version": "7",
        "faas.instance": "00aa",
        "faas.max_memory": 268435456,
        "cloud.provider": "aws",
        "cloud.platform": "mine",
        "cloud.region": "us-gov-west-1",
        "cloud.account.id": "123456789012",
        "cloud.resource_id": "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:hello",
        "telemetry.distro.name": "tailrace",
        "telemetry.distro.version": resource.VERSION,
        "team": "a",
    }


def test_the_service_has_a_name_whatever_is_known() -> None:
    named = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=b", "AWS_LAMBDA_FUNCTION_NAME": "c"}
    assert resource.service_name(settings_of(OTEL_SERVICE_NAME="a", **named)) == "a"
    assert resource.service_name(settings_of(**named)) == "b"
    assert resource.service_name(settings_of(AWS_LAMBDA_FUNCTION_NAME="c")) == "c"
    assert resource.service_name(settings_of()) == "unknown_service"


def test_the_version_is_the_projects() -> None:
    assert f'version = "{resource.VERSION}"' in (ROOT / "pyproject.toml").read_text()


def test_a_line_is_the_event_with_our_fields_beside_it() -> None:
    lines = Lines(settings_of(AWS_LAMBDA_FUNCTION_NAME="hello", OTEL_SERVICE_NAME="shop"))
    assert lines_of(event("a\n"), lines, Context(request_id=REQUEST_ID)) == (
        b'{"time":"%b","type":"function","record":"a\\n","requestId":"%b","uid":"00112233445566ff-0",'
        b'"service":"shop","function":"hello"}\n' % (TIME.encode(), REQUEST_ID.encode())
    )


@given(JSON, st.text())
def test_whatever_the_record_a_line_is_one_line_of_json(sent: object, kind: str) -> None:
    """Also where the record was written over several lines."""
    lines = Lines(settings_of())
    for payload in (json.dumps([event(sent, kind)], indent=1), json.dumps([{"odd": sent}, sent], indent=1)):
        found = frame_of(payload.encode())
        lines.begin(found)
        for index, one in enumerate(events(found)):
            line = lines.encode(one, index, NOTHING)
            assert line.count(b"\n") == 1
            read = json.loads(line)
            assert read.get("record", read.get("event")) in (sent, {"odd": sent})


def test_stdout_lines_are_known_as_ours_when_they_come_back() -> None:
    """Else they would be shipped to standard output again, for ever."""
    line = lines_of(event("a\n"), Lines(settings_of(), LOGGER)).decode()
    assert line.startswith(LINE_START)
    (back,) = events(frame(event(line, "extension")))
    assert is_own(back)


def test_stdout_writes_whole_lines_in_pieces_that_do_not_mix() -> None:
    """Each write a pipe takes whole (PIPE_BUF), lines longer than that in several."""
    reader, writer = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)  # packets: a read is a write
    body = b"".join(b"x" * length + b"\n" for length in (1000, 3000, 90, 5000, 10))
    assert Stdout(Lines(settings_of()), ready, writer).send(request_of(body)) == DONE
    os.close(writer)
    packets = []
    while packet := os.read(reader, 10_000):
        packets.append(packet)
    os.close(reader)
    assert [len(packet) for packet in packets] == [1001 + 3001 + 91, 4096, 905 + 11]
    assert b"".join(packets) == body


def test_stdout_that_nobody_reads_is_tried_again_later() -> None:
    outcome = Stdout(Lines(settings_of()), lambda _fd, _events, _until: 0).send(request_of(b"x\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "timeout")


def test_a_file_is_appended_to_and_its_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.ndjson"
    for _ in range(2):
        file = File(str(path), Lines(settings_of()))
        assert [file.send(request_of(b"1\n")), file.send(request_of(b"2\n"))] == [DONE, DONE]
        file.close()
    assert path.read_text() == "1\n2\n1\n2\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o133 == 0


def test_a_line_torn_by_a_killed_process_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b'{"torn')
    file = File(str(path), Lines(settings_of()))
    file.send(request_of(b"1\n"))
    file.close()
    assert path.read_bytes() == b'{"torn\n1\n'


def test_a_full_disk_leaves_no_half_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of it is cut off, and it is tried again."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    file = File(str(path), Lines(settings_of()))
    write = os.write
    calls: list[int] = []

    def full(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:3])

    monkeypatch.setattr(os, "write", full)
    outcome = file.send(request_of(b"1234567\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "file_enospc")
    assert path.read_bytes() == b"before\n"
    monkeypatch.undo()
    assert file.send(request_of(b"1234567\n")) == DONE
    assert path.read_bytes() == b"before\n1234567\n"
    file.close()


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = File(str(path), Lines(settings_of()))
    file.send(request_of(b"1\n"))
    path.unlink()
    assert file.send(request_of(b"2\n")).reason == "file_enoent"
    assert file.send(request_of(b"2\n")) == DONE
    assert path.read_bytes() == b"2\n"
    file.close()


def test_a_fifo_nobody_reads_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    file = File(str(tmp_path / "fifo"), Lines(settings_of()))
    assert file.send(request_of(b"x" * 1_000_000 + b"\n")).reason == "file_eagain"
    assert select.select([reader], [], [], 0)[0]
    os.close(reader)
    file.close()


def test_a_directory_in_the_files_place_is_said(tmp_path: Path) -> None:
    outcome = File(str(tmp_path), Lines(settings_of())).send(request_of(b"x\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "file_eisdir")
