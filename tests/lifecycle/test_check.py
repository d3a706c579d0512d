"""`python -m lifecycle.check`: what a person is told, what is sent, how it ends, and what is never printed."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import check
from lifecycle.settings import Settings
from tests.sandbox import Destination, Partial, Status

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "build" / "layer" / "tailrace"

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


def told(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit status and text."""
    pieces: list[str] = []
    status = check.main(environ, list(arguments), pieces.append)
    return status, "".join(pieces)


def row(text: str, variable: str) -> list[str]:
    """What stands in a setting's row after its name."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{variable} ")]
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()][1:]


class TestSettings:
    """Every setting with value, origin and default."""

    def test_each_has_a_row(self) -> None:
        """The table of the settings is the table that is printed."""
        _, text = told({})
        for setting in Settings.table():
            assert len(row(text, setting.variable)) == 3

    def test_value_origin_and_default_are_told(self) -> None:
        """Set, not set, and set to what cannot be used."""
        _, text = told({"TAILRACE_FLUSH": "end", "TAILRACE_BUFFER_MS": "soon"})
        assert row(text, "TAILRACE_FLUSH") == ["end", "environment", "adaptive"]
        assert row(text, "TAILRACE_FLUSH_INTERVAL_MS") == ["10000 ms", "default", "10000 ms"]
        assert row(text, "TAILRACE_BUFFER_MS") == ["25 ms", "default, not usable", "25 ms"]

    def test_problems_are_explained_and_fail(self) -> None:
        """As the extension would warn, the misspelt name's neighbour included."""
        status, text = told({"TAILRACE_BUFFER_MS": "soon", "TAILRACE_FLUSCH": "end", "TAILRACE_DESTINATION": "stdout:"})
        assert status == 1
        assert "2 problems\n" in text
        assert "TAILRACE_BUFFER_MS: got 'soon', expected a whole number from 25 to 30000 ms" in text
        assert "TAILRACE_FLUSCH: expected a known setting's name; did you mean TAILRACE_FLUSH?" in text

    def test_strict_says_that_the_function_would_not_start(self) -> None:
        """That is what it is for."""
        _, text = told({"TAILRACE_STRICT": "1", "TAILRACE_FLUSH": "never"})
        assert "TAILRACE_STRICT is set: the function would not start" in text

    def test_disabled_is_said(self) -> None:
        """And is no problem by itself."""
        status, text = told({"TAILRACE_ENABLED": "0", ENDPOINT: "https://example.com"})
        assert status == 0
        assert "the extension would stay idle" in text

    def test_without_a_destination_it_fails(self) -> None:
        """Nothing would be shipped."""
        status, text = told({})
        assert status == 1
        assert "There is no destination" in text


class TestDestination:
    """What the settings resolve to."""

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            ({ENDPOINT: "https://example.com"}, ["https://example.com/v1/logs", "OTLP logs as JSON", "gzip"]),
            ({"TAILRACE_DESTINATION": "https://example.com/in"}, ["https://example.com/in", "a JSON object a line"]),
            ({"TAILRACE_DESTINATION": "file:/tmp/x"}, ["file:/tmp/x"]),
            ({"TAILRACE_DESTINATION": "otlp"}, ["http://localhost:4318/v1/logs"]),
            (
                {ENDPOINT: "https://example.com", COMPRESSION: "none", "OTEL_SERVICE_NAME": "shop"},
                ["compression  none", "service.name shop"],
            ),
            ({ENDPOINT: "https://example.com", HEADERS: "Api-Key=hunter22"}, ["Api-Key: (hidden)"]),
        ],
    )
    def test_it_is_what_the_shipper_would_make_of_them(self, environ: dict[str, str], said: list[str]) -> None:
        """Precedence and defaults are the shipper's own."""
        status, text = told(environ)
        assert (status, text[-13:]) == (0, "All is well.\n")
        _, _, destination = text.partition("\nDestination\n")
        for words in said:
            assert words in destination

    def test_proxy_that_cannot_be_used_is_a_problem(self) -> None:
        """Its value is not shown."""
        environ = {ENDPOINT: "https://example.com", "HTTPS_PROXY": "https://user:hunter22@proxy"}
        status, text = told(environ)
        assert status == 1
        assert "HTTPS_PROXY" in text.partition("1 problem\n")[2]
        assert "hunter22" not in text


class TestSend:
    """One record, once."""

    def test_record_arrives_and_the_answer_is_told(self) -> None:
        """Exit status 0 means that a backend has it."""
        with Destination() as backend:
            status, text = told({ENDPOINT: backend.url, "OTEL_SERVICE_NAME": "shop"}, "--send")
            (record,) = backend.records()
        assert status == 0
        assert str(record.body) == "A test record from Tailrace: lifecycle.check --send"
        assert "Test record\n  answered 200 in " in text

    def test_nothing_is_sent_unless_asked_for(self) -> None:
        """Looking changes nothing."""
        with Destination() as backend:
            assert told({ENDPOINT: backend.url})[0] == 0
            assert backend.requests == []

    def test_lines_arrive_as_well(self) -> None:
        """Over HTTP, and in a file."""
        with Destination() as backend:
            assert told({"TAILRACE_DESTINATION": f"{backend.url}/in"}, "--send")[0] == 0
            assert b"A test record from Tailrace" in backend.requests[0].body

    def test_file_is_appended_to(self, tmp_path: Path) -> None:
        """There is no status then."""
        status, text = told({"TAILRACE_DESTINATION": f"file:{tmp_path}/out"}, "--send")
        assert status == 0
        assert "Test record\n  written in " in text
        assert "A test record from Tailrace" in (tmp_path / "out").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (401, "answered 401 in"),
            (404, "There is nothing at that path."),
            (400, "It is understood and refused"),
            (503, "status_503"),
        ],
    )
    def test_refusal_is_told_and_fails(self, code: int, said: str) -> None:
        """With what to look at, and without a second try."""
        with Destination() as backend:
            backend.faults.always(Status(code))
            status, text = told({ENDPOINT: backend.url}, "--send")
            assert len(backend.requests) == 1
        assert status == 1
        assert "The test record was not taken: answered " in text
        assert said in text

    def test_partial_success_that_rejects_the_record_fails(self) -> None:
        """A status 200 alone means nothing."""
        with Destination() as backend:
            backend.faults.always(Partial(1))
            status, text = told({ENDPOINT: backend.url}, "--send")
        assert status == 1
        assert "rejected the record" in text

    def test_nobody_there_is_told_and_fails(self) -> None:
        """With the system's own word for it."""
        status, text = told({ENDPOINT: "http://127.0.0.1:1"}, "--send")
        assert status == 1
        assert "no answer: connect (Connection refused). Nothing accepts connections there" in text

    def test_untrusted_certificate_is_told(self) -> None:
        """TLS is verified here as in the extension."""
        with Destination(tls=True) as backend:
            status, text = told({ENDPOINT: backend.url}, "--send")
        assert status == 1
        assert "SSL_CERT_FILE may name a private authority's" in text


class TestSecrets:
    """None is printed."""

    PLACES = (
        {ENDPOINT: "http://user:{}@127.0.0.1:1"},
        {ENDPOINT: "http://127.0.0.1:1//x//y?key={}"},
        {ENDPOINT: "http://user:{}@127.0.0.1:1//x"},
        {ENDPOINT: "http://127.0.0.1:1", HEADERS: "Authorization=Bearer%20{}"},
        {ENDPOINT: "http://127.0.0.1:1", "TAILRACE_HEADERS": "broken {}"},
        {"TAILRACE_DESTINATION": "https://user:{}@127.0.0.1:1/x", "HTTPS_PROXY": "http://me:{}@127.0.0.1:1"},
        {ENDPOINT: "https://127.0.0.1:1", "HTTPS_PROXY": "me:{}@127.0.0.1:1"},
        {ENDPOINT: "https://127.0.0.1:1", "HTTPS_PROXY": "me:a?{}@127.0.0.1"},
        {"TAILRACE_DESTINATION": "ftp://user:{}@example.com"},
        {"TAILRACE_HEADRES": "key={}", ENDPOINT: "http://127.0.0.1:1"},
    )

    @pytest.mark.parametrize("place", PLACES)
    def test_wherever_it_stands(self, place: dict[str, str]) -> None:
        """In an address, a header, a proxy, a value that cannot be used, a misspelt name."""
        environ = {name: value.format("hunter22") for name, value in place.items()}
        _, text = told(environ, "--send")
        assert "hunter22" not in text

    @given(st.text("ab/:?#@", min_size=1), st.text("ab/?#", max_size=5))
    def test_address_keeps_what_stands_before_the_last_at(self, user: str, path: str) -> None:
        """Whatever characters a password has."""
        shown = check.address_shown(f"http://S3CR3T{user}S3CR3T@host/{path}")
        assert not shown.startswith("http://S3CR3T") or "/" in user
        proxy = check.address_shown(f"{user.replace('/', '')}S3CR3T@host")
        assert "S3CR3T" not in proxy


class TestProgram:
    """As a person starts it."""

    def run(self, *arguments: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Runs the program with nothing but the given environment."""
        command = [sys.executable, "-m", "lifecycle.check", *arguments]
        return subprocess.run(command, cwd=cwd, env=environ, check=False, capture_output=True, text=True, timeout=30)

    @pytest.mark.parametrize("cwd", [ROOT, LAYER], ids=["checkout", "layer"])
    def test_it_runs_from_a_checkout_and_from_the_unpacked_layer(self, cwd: Path) -> None:
        """With all it needs beside it."""
        with Destination() as backend:
            done = self.run("--send", cwd=cwd, **{ENDPOINT: backend.url})
            assert len(backend.records()) == 1
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("All is well.\n")

    def test_exit_status_tells_scripts(self) -> None:
        """0 for well, 1 for problems, 2 for a wrong command line."""
        assert self.run(cwd=ROOT, TAILRACE_DESTINATION="stdout:").returncode == 0
        assert self.run(cwd=ROOT, TAILRACE_DESTINATION="nowhere").returncode == 1
        assert self.run("--sned", cwd=ROOT).returncode == 2

    def test_record_for_standard_output_stands_in_its_place(self) -> None:
        """After what was said before, and whole."""
        done = self.run("--send", cwd=ROOT, TAILRACE_DESTINATION="stdout:")
        assert done.returncode == 0
        before, _, after = done.stdout.partition("A test record from Tailrace")
        assert "Destination\n" in before
        assert "Test record\n" in after


def test_the_extension_never_loads_it() -> None:
    """It is for people; no process of ours imports it."""
    program = (
        "import sys, lifecycle.__main__, lifecycle.supervisor, lifecycle.dormant, collector.worker, shipper.worker;"
        "print([name for name in sys.modules if name.endswith('.check')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
