"""Nobody gets in: not by the network, not by a setting, not by what the function brings along."""

import os
import socket
import stat
import struct
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lifecycle.contract.settings import Settings
from tests.e2e.conftest import HANDLER, LAYER, NAME, Run, Start
from tests.sandbox import Destination, Environment, Function, Platform

pytestmark = pytest.mark.e2e

LISTENING = "0A"

# What a module says that was imported though it should not have been.
MARK = "SOMEBODY GOT IN"


def listening(run: Run) -> list[tuple[str, str]]:
    """The TCP addresses the extension's processes listen on, and the table of /proc/net each was found in."""
    inodes = set()
    for process in run.env.processes(NAME):
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                target = str(link.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
    found = []
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for fields in (line.split() for line in lines):
            if fields[3] == LISTENING and fields[9] in inodes:
                address = fields[1].partition(":")[0]
                if table == "tcp":
                    address = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
                found.append((table, address))
    return found


def test_intake_is_bound_to_loopback_alone(start: Start) -> None:
    """To that of either family, and by nobody but those who are to listen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = start(platform=Platform(freeze=False), TAILRACE_OTLP_INTAKE="1", TAILRACE_OTLP_PORT=str(port))
    run.invoke(lines=2)
    found = listening(run)
    loopback_6 = ("tcp6", "00000000000000000000000001000000")
    assert sorted(found) in ([("tcp", "127.0.0.1")] * 2, [("tcp", "127.0.0.1")] * 2 + [loopback_6])
    run.end()


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_listener_is_bound_to_the_sandbox_alone(start: Start, protocol: str) -> None:
    """One socket, at the address by which the platform reaches us; here that is loopback."""
    run = start(platform=Platform(freeze=False), TAILRACE_PROTOCOL=protocol)
    run.invoke(lines=2)
    assert listening(run) == [("tcp", "127.0.0.1")]
    run.end()
    assert run.lost() == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::", "*"])
def test_listener_is_never_bound_to_every_interface(start: Start, host: str) -> None:
    """Nor when a setting asks for it: it is said, and the sandbox's address is used."""
    run = start(platform=Platform(freeze=False), TAILRACE_LISTEN_HOST=host)
    run.invoke(lines=2)
    assert listening(run) == [("tcp", "127.0.0.1")]
    run.end()
    assert [line["variable"] for line in run.events("settings.value_ignored")] == ["TAILRACE_LISTEN_HOST"]


def test_no_setting_is_evaluated(start: Start, tmp_path: Path) -> None:
    """Python, shell, templates, formats: a value is text."""
    traces = [tmp_path / f"trace{number}" for number in range(4)]
    values = [
        f"__import__('os').mknod('{traces[0]}')",
        f"$(touch {traces[1]}) `touch {traces[2]}` ; touch {traces[3]}",
        "{0.__class__.__mro__} %(x)s %s ${HOME} ${jndi:ldap://127.0.0.1/x}",
        "!!python/object/apply:os.abort []",
    ]
    rows = [
        row.variable
        for row in Settings.table()
        if row.variable
        not in (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "TAILRACE_LOG_LEVEL",
            "TAILRACE_LISTEN_HOST",
            "TAILRACE_PLATFORM_LOGS",
            "TAILRACE_KEEP",
            "TAILRACE_REDACT",
        )
        and not row.variable.endswith(("_PROXY", "_LOGS_ENDPOINT"))
    ]
    for value in values:
        run = start(platform=Platform(freeze=False), **dict.fromkeys(rows, value))
        run.invoke(lines=2)
        run.end()
        assert run.lost() == 0
        assert not any(trace.exists() for trace in traces)
        assert os.environ["HOME"] not in "".join(run.said()).replace(str(tmp_path), "")
        assert run.backend.unique()[0].resource.get("service.name") in (value, value.strip())


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A task root that brings modules under the names of everything the extension imports, and a start-up file."""
    root = tmp_path / "task"
    root.mkdir()
    (root / "app.py").write_text((HANDLER / "app.py").read_text())
    trap = f"import os\nos.write(2, b'{MARK} ' + __name__.encode() + b'\\n')\nraise SystemExit(1)\n"
    hidden = root / "hidden"
    hidden.mkdir()
    ours = ["lifecycle", "collector", "shipper"]
    for name in [*ours, "msgspec", "httptools", "structlog", "tenacity", "zlib_ng", "typing_extensions"]:
        # Beside the handler, where the extension's working directory is, only what the runtime itself never imports.
        for folder in (root, hidden):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(trap)
    for name in ("sitecustomize", "usercustomize", "ssl", "encodings", "site", "os", "select", "mmap", "fcntl", "re"):
        (hidden / f"{name}.py").write_text(trap)
    (root / "sitecustomize.py").write_text(trap.replace("raise SystemExit(1)", ""))
    return root


def test_what_the_function_brings_is_not_imported(traps: Path) -> None:
    """Nor what its environment asks the interpreter to do: the working directory is the task root."""
    hidden = str(traps / "hidden")
    asked = {
        "PYTHONPATH": f"{hidden}:{traps}",
        "PYTHONSTARTUP": f"{hidden}/os.py",
        "PYTHONHOME": hidden,
        "PYTHONPLATLIBDIR": hidden,
        "PYTHONUSERBASE": hidden,
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.abort",
        "PYTHONPYCACHEPREFIX": hidden,
        "PYTHONWARNINGS": "error",
        "PYTHONDEVMODE": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONSAFEPATH": "",
        "PYTHONCASEOK": "1",
        "PYTHONNODEBUGRANGES": "1",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONMALLOC": "debug",
        "PYTHONTRACEMALLOC": "25",
        "PYTHONOPTIMIZE": "2",
    }
    runtime = traps / "runtime"
    unset = " ".join(f"-u {name}" for name in asked)
    # The function itself runs as usual: it is the extension that is to be tried.
    python = Function().python
    runtime.write_text(f'#!/bin/sh\nexec env {unset} {python} -P -c "{_RUNTIME}" "$@"\n')
    runtime.chmod(runtime.stat().st_mode | stat.S_IXUSR)
    with ExitStack() as stack:
        backend = stack.enter_context(Destination())
        function = Function(
            task_root=traps,
            runtime_command=[str(runtime)],
            environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                "TAILRACE_LOG_LEVEL": "info",
                "TAILRACE_PLATFORM_LOGS": "1",
                **asked,
            },
        )
        env = Environment(extensions_dir=LAYER / "extensions", function=function, platform=Platform(freeze=False))
        run = Run(stack.enter_context(env), backend)
        run.invoke(lines=3)
        layer = str((LAYER / "tailrace").resolve())
        for process in run.env.processes(NAME):
            assert Path(f"/proc/{process.pid}/cwd").readlink() == traps
            mapped = {
                line.split(maxsplit=5)[5]
                for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines()
                if line.rstrip().endswith(".so")
            }
            ours = {path for path in mapped if "msgspec" in path or "httptools" in path}
            assert all(path.startswith(layer) for path in ours)
            assert not any(path.startswith(str(traps)) for path in mapped)
        run.env.kill(NAME, "tr-shipper")  # its successor imports anew
        run.invoke(lines=3)
        run.end()
        assert run.lost() == 0
        assert run.events("lifecycle.ended")
        assert MARK not in "".join(run.said())
        assert all(line.startswith('{"logger":"tailrace.') for line in run.said() if line), run.said()


# A runtime in few words: it asks for events and answers them, and prints what its event says.
_RUNTIME = (
    "import json, os, urllib.request as u\n"
    "api = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API'] + '/2018-06-01/runtime/invocation/'\n"
    "while True:\n"
    "    a = u.urlopen(api + 'next')\n"
    "    for n in range(json.load(a).get('lines', 0)): print('line', n, flush=True)\n"
    "    u.urlopen(api + a.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', b'{}')\n"
)


NONSENSE = [
    {},
    {"PYTHONHTTPSVERIFY": "0"},
    {"SSL_CERT_FILE": "/nonexistent"},
    {"SSL_CERT_FILE": "/etc/passwd"},
    {"SSL_CERT_DIR": "/nonexistent", "SSL_CERT_FILE": ""},
    {"OPENSSL_CONF": "/etc/passwd"},
    {"CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "NODE_TLS_REJECT_UNAUTHORIZED": "0"},
    {"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent"},
    {"TAILRACE_TLS_VERIFY": "0", "TAILRACE_INSECURE": "1"},
    {"SSLKEYLOGFILE": "KEYS"},
]


@pytest.mark.parametrize("environ", NONSENSE, ids=lambda environ: " ".join(environ) or "nothing")
def test_certificate_of_nobody_is_never_taken(start: Start, tmp_path: Path, environ: dict[str, str]) -> None:
    """Nothing is sent, it is said, all is kept and counted, and the function does not notice."""
    keys = tmp_path / "keys"
    environ = {name: value.replace("KEYS", str(keys)) for name, value in environ.items()}
    with Destination(tls=True) as backend:
        run = start(
            platform=Platform(freeze=False),
            backend=backend,
            OTEL_EXPORTER_OTLP_ENDPOINT=backend.url,
            TAILRACE_LOG_LEVEL="info",
            **environ,
        )
        run.invoke(lines=5)
        run.invoke(lines=5)
        run.end()
        assert backend.requests == []
    (ended,) = run.events("lifecycle.ended")
    assert ended["shipped"] == 0
    assert ended["waiting"] > 0
    assert "certificate" in "".join(run.said())
    assert not keys.exists()


def test_certificate_is_taken_from_whom_one_trusts_on_purpose(start: Start) -> None:
    """The one way to be served by such a backend: to say whose certificates are good."""
    with Destination(tls=True) as backend:
        trusted = {"SSL_CERT_FILE": str(backend.ca_path), "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url}
        run = start(platform=Platform(freeze=False), backend=backend, **trusted)
        run.invoke(lines=5)
        run.end()
        assert run.lost() == 0
