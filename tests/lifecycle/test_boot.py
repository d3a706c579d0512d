"""Booting: what is said to the platform, in which order, and what it comes to."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifecycle.boot import Booted, NotRegisteredError, StrictError, boot, report_init_error
from tests.lifecycle.platform_stub import OK, OK_REGISTER, PlatformStub, refusal

ROOT = Path(__file__).parents[2]

REGISTER = "POST /2020-01-01/extension/register"
SUBSCRIBE = "PUT /2022-07-01/telemetry"
NEXT = "GET /2020-01-01/extension/event/next"

# For so long Linux waits for something to send an acknowledgement with.
DELAYED_ACK_S = 0.04


def booted(platform: PlatformStub, **environ: str) -> Booted:
    environ = {"AWS_LAMBDA_RUNTIME_API": platform.host_port, "TAILRACE_DESTINATION": "stdout:", **environ}
    return boot(environ, "tailrace")


def test_healthy_boot_registers_subscribes_and_asks() -> None:
    """And does not wait for the answer to the question."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform)
        platform.wait_for(3)
        assert platform.lines() == [REGISTER, SUBSCRIBE, NEXT]
        assert outcome.idle_reason == {}
        assert outcome.connection.awaiting
        assert outcome.settings.function.account_id == "0123456789"
        assert b"Lambda-Extension-Identifier: id-1" in platform.requests[2]
        outcome.close()


def test_boot_is_not_slowed_by_a_platform_that_writes_head_and_body_apart() -> None:
    """TCP lets it wait for an acknowledgement, which the kernel here would keep for 40 ms."""
    took_s = []
    for _ in range(3):
        with PlatformStub(OK_REGISTER, OK, is_halting=True) as platform:
            began = time.monotonic()
            outcome = booted(platform)
            took_s.append(time.monotonic() - began)
            outcome.close()
    assert min(took_s) < DELAYED_ACK_S


def test_question_is_asked_on_a_new_connection_where_the_old_one_died() -> None:
    """Nothing but the connection is wrong: to exit would be to crash the function."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform)
        outcome.connection.awaiting = False
        with socket.fromfd(outcome.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
            same.shutdown(socket.SHUT_RDWR)
        outcome.ask_next()
        platform.wait_for(4)
        assert platform.lines()[2:] == [NEXT, NEXT]
        outcome.close()


def test_listener_is_the_one_subscribed() -> None:
    """Connections made before there is a collector wait in the kernel."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform)
        assert outcome.listener is not None
        port = outcome.listener.getsockname()[1]
        assert b"http://sandbox.localdomain:%d" % port in platform.requests[1]
        socket.create_connection(("127.0.0.1", port)).close()
        outcome.close()


def test_managed_instances_register_shutdown_only() -> None:
    """INVOKE may not be registered there."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
        assert platform.requests[0].endswith(b'{"events":["SHUTDOWN"]}')
        outcome.close()


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "snap-start", "lambda-managed-instances"])
def test_where_init_is_on_nobodys_path_the_question_waits_for_warmth(kind: str) -> None:
    """Everything is loaded first."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, AWS_LAMBDA_INITIALIZATION_TYPE=kind)
        assert outcome.warms_first
        assert not outcome.connection.awaiting
        assert platform.lines() == [REGISTER, SUBSCRIBE]
        outcome.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(202, b'{"errorType":"Telemetry.NotSupported"}'), "telemetry_unsupported"),
        (refusal(400), "subscription_refused"),
        (refusal(403), "subscription_refused"),
        (refusal(500), "subscription_refused"),
        (b"garbage\r\n\r\n", "subscription_failed"),
    ],
)
def test_refused_subscription_still_asks_for_events(answer: bytes, reason: str) -> None:
    """The function does not wait for an extension that has nothing to do."""
    with PlatformStub(OK_REGISTER, answer) as platform:
        outcome = booted(platform)
        platform.wait_for(3)
        assert platform.lines() == [REGISTER, SUBSCRIBE, NEXT]
        assert outcome.idle_reason["reason"] == reason
        outcome.close()


def test_connection_that_dies_between_registration_and_subscription_is_made_anew() -> None:
    """It says nothing of the platform; nothing would be shipped for the life of the environment."""
    with PlatformStub(OK_REGISTER, b"", OK) as platform:
        outcome = booted(platform)
        platform.wait_for(4)
        assert platform.lines() == [REGISTER, SUBSCRIBE, SUBSCRIBE, NEXT]
        assert outcome.idle_reason == {}
        outcome.close()


def test_platform_that_hangs_up_on_every_subscription_still_gets_its_question() -> None:
    """Twice is enough: the function waits for the end of init."""
    with PlatformStub(OK_REGISTER, b"", b"") as platform:
        outcome = booted(platform)
        platform.wait_for(4)
        assert platform.lines() == [REGISTER, SUBSCRIBE, SUBSCRIBE, NEXT]
        assert outcome.idle_reason["reason"] == "subscription_failed"
        outcome.close()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"TAILRACE_DESTINATION": ""}, "no_destination"),
        ({"TAILRACE_DESTINATION": "gopher://x"}, "no_destination"),
        ({"TAILRACE_ENABLED": "0"}, "disabled"),
    ],
)
def test_nothing_to_ship_to_is_not_worth_a_subscription(environ: dict[str, str], reason: str) -> None:
    """The platform would buffer for nobody."""
    with PlatformStub(OK_REGISTER) as platform:
        outcome = booted(platform, **environ)
        platform.wait_for(2)
        assert platform.lines() == [REGISTER, NEXT]
        assert outcome.idle_reason["reason"] == reason
        outcome.close()


def test_taken_port_is_replaced_by_one_the_kernel_chooses() -> None:
    """It is said, and nothing else is lost."""
    with socket.create_server(("127.0.0.1", 0)) as other, PlatformStub(OK_REGISTER, OK) as platform:
        port = other.getsockname()[1]
        outcome = booted(platform, TAILRACE_LISTEN_HOST="127.0.0.1", TAILRACE_LISTEN_PORT=str(port))
        assert outcome.listener is not None
        assert outcome.listener.getsockname()[1] != port
        assert [problem.variable for problem in outcome.settings.problems] == ["TAILRACE_LISTEN_PORT"]
        assert outcome.idle_reason == {}
        outcome.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "\u00e9" * 70, "a\udcff"])
def test_listen_address_that_cannot_be_bound_is_replaced_by_loopback(host: str) -> None:
    """An address of another machine, or no address at all."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, TAILRACE_LISTEN_HOST=host)
        assert outcome.listener is not None
        assert outcome.listener.getsockname()[0] == "127.0.0.1"
        assert [problem.variable for problem in outcome.settings.problems] == ["TAILRACE_LISTEN_HOST"]
        outcome.close()


def test_strict_settings_report_an_init_error() -> None:
    """For those who want it in staging; the variables are named, their values are not."""
    with PlatformStub(OK_REGISTER, refusal(202)) as platform:
        with pytest.raises(StrictError, match="TAILRACE_FLUSH") as caught:
            booted(platform, TAILRACE_STRICT="1", TAILRACE_FLUSH="hunter2")
        assert platform.lines() == [REGISTER]
        report_init_error(caught.value)
        assert platform.lines() == [REGISTER, "POST /2020-01-01/extension/init/error"]
        assert b"TAILRACE_FLUSH" in platform.requests[1]
        assert b"hunter2" not in platform.requests[1]
        caught.value.booted.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAILRACE_DESTINATION_ARCHIVE", "warp://nowhere"),
        ("TAILRACE_DESTINATION_DEFAULT", "stdout:"),
        ("TAILRACE_DESTINATION_archive", "stdout:"),
        ("TAILRACE_MIN_LEVEL_NOBODY", "error"),
        ("TAILRACE_DROP", "fine;("),
        ("TAILRACE_KEEP", "*"),
        ("TAILRACE_REDACT", "email;[=>x"),
        ("TAILRACE_REDACT", r"a=>\2"),
    ],
)
def test_pattern_or_route_that_cannot_be_used_is_a_bad_setting_where_that_is_strict(variable: str, value: str) -> None:
    """Where it is not, it is said, and gone on without it."""
    with PlatformStub(OK_REGISTER, refusal(202)) as platform:
        with pytest.raises(StrictError, match=variable) as caught:
            booted(platform, **{"TAILRACE_STRICT": "1", variable: value})
        caught.value.booted.close()


def test_a_bad_variable_of_opentelemetrys_is_not_fatal_where_bad_settings_are() -> None:
    """It is the SDK's as well, and may be right for that."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, TAILRACE_STRICT="1", OTEL_EXPORTER_OTLP_TIMEOUT="soon", OTEL_EXPORTER_OTLP_X="1")
        assert [problem.variable for problem in outcome.settings.problems] == [
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "OTEL_EXPORTER_OTLP_X",
        ]
        outcome.close()


def test_patterns_that_compile_are_no_bad_settings() -> None:
    """Ready-made names and replacements among them."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        rules = {"TAILRACE_DROP": r"a\;b;^c$", "TAILRACE_REDACT": r"email;card;(\d+)=>#\1"}
        outcome = booted(platform, TAILRACE_STRICT="1", **rules)
        assert outcome.settings.problems == []
        outcome.close()


def test_refused_registration_is_an_error_that_says_what_was_answered() -> None:
    """Nothing can be done without it."""
    with (
        PlatformStub(refusal(403, b'{"errorType":"Extension.RegistrationClosed"}')) as platform,
        pytest.raises(NotRegisteredError, match=r"403 .*Extension\.RegistrationClosed"),
    ):
        booted(platform)


def test_no_platform_is_an_error_that_names_the_variable() -> None:
    """Somebody started it by hand."""
    with pytest.raises(NotRegisteredError, match="AWS_LAMBDA_RUNTIME_API is not set"):
        boot({}, "tailrace")


@pytest.mark.parametrize(
    ("environ", "more"),
    [
        ({}, ()),
        ({"TAILRACE_HEADERS": "api-key=@{secretsmanager:backend#key}"}, ()),
        ({"TAILRACE_SETTINGS_FILE": "tailrace.env"}, ("settings_file",)),
    ],
    ids=("one destination", "a secret by reference", "a file of settings"),
)
def test_nothing_but_builtins_os_and_socket_is_imported_before_the_question_is_out(
    environ: dict[str, str], more: tuple[str, ...], tmp_path: Path
) -> None:
    """Registration stands in series with every cold start."""
    (tmp_path / "tailrace.env").write_text("TAILRACE_MIN_LEVEL=warn")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
bare = set(sys.modules)
import os
bare |= set(sys.modules)
from lifecycle.boot import boot
given = {environ!r}
given.update(AWS_LAMBDA_RUNTIME_API=sys.argv[1], TAILRACE_DESTINATION="otlp+https://u:p@h/x")
boot(given, "tailrace")
print(*sorted(set(sys.modules) - bare))
"""
    with PlatformStub(OK_REGISTER, OK) as platform:
        command = [sys.executable, "-IS", "-c", code, platform.host_port]
        out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    types = ("schemes", "setting_types", "settings", *more)
    ours = ("boot", "contract", *(f"contract.{name}" for name in types), "extensions_api")
    assert out.split() == ["_socket", "lifecycle", *(f"lifecycle.{name}" for name in ours)]


def test_logs_api_is_subscribed_where_it_is_asked_for() -> None:
    """The superseded API, by its own path and its later schema, which tells when a function is done."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, TAILRACE_API="logs")
        assert platform.lines()[1] == "PUT /2020-08-15/logs"
        assert b'"schemaVersion":"2021-03-18","types":["platform","function"]' in platform.requests[1]
        assert outcome.idle_reason == {}
        outcome.close()


def test_managed_instances_have_no_logs_api() -> None:
    """The other one is used, and it is said."""
    with PlatformStub(OK_REGISTER, OK) as platform:
        managed = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}
        outcome = booted(platform, TAILRACE_API="logs", **managed)
        assert platform.lines()[1] == SUBSCRIBE
        assert [problem.variable for problem in outcome.settings.problems] == ["TAILRACE_API"]
        outcome.close()


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("logs", "tailrace has subscribed through the other API"),
        ("logs", "The Telemetry API is already in use"),
        ("telemetry", "Logs API subscription exists already"),
    ],
)
def test_refusal_because_the_other_api_is_in_use_is_said_as_that(api: str, said: str) -> None:
    """With the platform's own words beside it, since they are not public."""
    with PlatformStub(OK_REGISTER, refusal(400, said.encode())) as platform:
        outcome = booted(platform, TAILRACE_API=api)
        assert outcome.idle_reason["reason"] == "other_api_in_use"
        assert said in str(outcome.idle_reason["answer"])
        outcome.close()


def free_port() -> int:
    """One at which nobody listens, so that the file named after it is nobody else's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_intake_is_open_and_written_down_before_the_registration_is_sent() -> None:
    """Runtimes start once all have registered, and their SDKs may export at once."""
    port = free_port()
    told = Path(f"/tmp/tailrace-otlp-{port}")
    told.write_text("http://127.0.0.1:1\n")  # from before a reset
    with PlatformStub(b"") as platform, pytest.raises(NotRegisteredError):  # hangs up before it answers
        booted(platform, TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port))
    assert not told.exists()
    with PlatformStub(OK_REGISTER, OK) as platform:
        outcome = booted(platform, TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port))
        platform.wait_for(3)
        assert told.read_text() == f"http://127.0.0.1:{port}\n"
        assert outcome.settings.problems == []
        for host in ("127.0.0.1", *(["::1"] if len(outcome.intake) > 1 else [])):
            socket.create_connection((host, port)).close()
        outcome.close()
        assert not told.exists()


def test_taken_port_is_another_port_and_said() -> None:
    """The wrapper reads which; an SDK without it goes on to whoever has the port. No setting is wrong with that."""
    with socket.create_server(("127.0.0.1", 0)) as taken, PlatformStub(OK_REGISTER, OK) as platform:
        port = taken.getsockname()[1]
        outcome = booted(platform, TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port), TAILRACE_STRICT="1")
        (problem,) = outcome.settings.problems
        assert (problem.variable, problem.value) == ("TAILRACE_OTLP_PORT", str(port))
        told = Path(f"/tmp/tailrace-otlp-{port}").read_text()
        assert told == f"http://127.0.0.1:{problem.used}\n"
        socket.create_connection(("127.0.0.1", int(problem.used))).close()
        outcome.close()


def test_where_the_intake_cannot_be_written_down_the_sdk_is_left_alone() -> None:
    """Something that is no file lies in the way; the function is not affected."""
    port = free_port()
    told = Path(f"/tmp/tailrace-otlp-{port}")
    told.mkdir()
    try:
        with PlatformStub(OK_REGISTER, OK) as platform:
            outcome = booted(platform, TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port))
            (problem,) = outcome.settings.problems
            assert (problem.variable, problem.used) == ("TAILRACE_OTLP_INTAKE", "the SDK's own settings")
            assert outcome.idle_reason == {}
            outcome.close()
    finally:
        told.rmdir()


def test_intake_stays_open_where_the_subscription_is_refused() -> None:
    """The function's SDK has been told of it, and needs no platform."""
    port = free_port()
    with PlatformStub(OK_REGISTER, refusal(202, b'{"errorType":"Telemetry.NotSupported"}')) as platform:
        outcome = booted(platform, TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port))
        platform.wait_for(3)
        assert outcome.idle_reason == {}
        assert outcome.unsubscribed_reason["reason"] == "telemetry_unsupported"
        assert outcome.listener is None
        socket.create_connection(("127.0.0.1", port)).close()
        outcome.close()


@pytest.mark.parametrize(
    ("environ", "requests"),
    [({"TAILRACE_ENABLED": "0"}, 2), ({"TAILRACE_DESTINATION": ""}, 2), ({"TAILRACE_OTLP_INTAKE": "0"}, 3)],
)
def test_intake_is_not_open_where_nothing_would_be_made_of_it(environ: dict[str, str], requests: int) -> None:
    """An SDK is not to be pointed at somebody who does nothing."""
    port = free_port()
    with PlatformStub(*(OK_REGISTER, OK)[: requests - 1]) as platform:
        outcome = booted(platform, **{"TAILRACE_OTLP_INTAKE": "1", "TAILRACE_OTLP_PORT": str(port), **environ})
        platform.wait_for(requests)
        assert outcome.intake == []
        assert not Path(f"/tmp/tailrace-otlp-{port}").exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        outcome.close()
