"""An unpacked layer and a handler under AWS's own emulator, in a mount namespace of its own.

Classic mode speaks the Extensions and Runtime APIs for real and refuses telemetry with 202; managed-instances
mode (`concurrency`) delivers telemetry for real. Section 6 of the notes on Lambda's APIs has the details.
Needs root: /opt, /var and /mnt are mounted over, privately.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sandbox import procfs
from tests.sandbox.realparts import UnavailableError, rie_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

START_LIMIT_S = 15.0
STOP_LIMIT_S = 10.0
_PORTS = (10000, 32000)
_UNSHARE = ("unshare", "--mount", "--propagation=private")
_INVOKE_PATH = "/2015-03-31/functions/function/invocations"

# /var is built under /mnt and then mounted over the old one, so that every source stays visible meanwhile.
# What the emulator's children, who are not root, must read is copied, or bound past closed directories.
_NAMESPACE = """
set -e
mount -t tmpfs -o mode=755 sandbox /mnt
mkdir -p /mnt/task /mnt/lang /mnt/runtime/site /mnt/tmp
chmod 1777 /mnt/tmp
cp -rL "$SANDBOX_TASK/." /mnt/task
cp "$SANDBOX_RIE" /mnt/runtime/rie
mount --bind "$SANDBOX_PREFIX" /mnt/lang
mount --bind "$SANDBOX_SITE" /mnt/runtime/site
printf '#!/bin/sh\\nPYTHONPATH=/var/runtime/site exec %s %s\\n' \
    "${AWS_LAMBDA_EXEC_WRAPPER:-}" "$SANDBOX_RUNTIME" > /mnt/runtime/bootstrap
chmod 755 /mnt/runtime/bootstrap /mnt/runtime/rie
mount -t tmpfs -o mode=755 sandbox /opt
cp -rL "$SANDBOX_LAYER/." /opt
chmod -R a+rX /mnt/task /opt
mount --rbind /mnt /var
unset SANDBOX_TASK SANDBOX_RIE SANDBOX_PREFIX SANDBOX_SITE SANDBOX_RUNTIME SANDBOX_LAYER
cd /var/task
exec /var/runtime/rie "$@"
"""


@dataclass(kw_only=True)
class Emulator:
    """One run of the emulator; a context manager.

    Args:
        layer: A directory as it unpacks to /opt: `extensions/` and what lies beside it.
        task_root: The function's code, copied to /var/task.
        handler: For the real Python runtime client.
        runtime: A command that runs the handler in place of that client; "" for none.
        concurrency: Run as Lambda Managed Instances with this many runtime workers; None for classic.
        environ: The function's own variables.
        python: The interpreter whose installation becomes /var/lang.
    """

    layer: Path
    task_root: Path
    handler: str = "app.handler"
    runtime: str = ""
    concurrency: int | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 3
    memory_mb: int = 128
    name: str = "demo"
    python: Path = Path(sys.executable)
    output: list[str] = field(default_factory=list, init=False)
    """Every line of the emulator, the runtime and the extensions."""
    api: str = field(default="", init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @staticmethod
    def check() -> Path:
        """See whether an emulator can be had and run here.

        Returns:
            The emulator's binary.

        Raises:
            UnavailableError: It cannot; the text says why.
        """
        binary = rie_path()
        _check_namespaces()
        return binary

    def start(self) -> None:
        """Start the emulator and wait until it takes invocations.

        Classic mode initialises at the first invocation, managed-instances mode at once.

        Raises:
            UnavailableError: This machine has no emulator or allows no mount namespace.
            TimeoutError: The emulator did not come up.
        """
        binary = self.check()
        self._invoke_port = _free_port()
        self.api = f"127.0.0.1:{_free_port()}"
        arguments = ["--runtime-api-address", self.api]
        arguments += ["--runtime-interface-emulator-address", f"127.0.0.1:{self._invoke_port}"]
        self._process = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _NAMESPACE, "rie", *arguments, "/var/runtime/bootstrap"],
            env=self._environ(binary),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        limit_s = time.monotonic() + START_LIMIT_S
        while not _listens(self._invoke_port):
            if self._process.poll() is not None or time.monotonic() > limit_s:
                self.stop()
                raise TimeoutError("the emulator did not come up:\n" + "".join(self.output))
            time.sleep(0.01)

    def invoke(self, payload: Any = None, timeout_s: float = 30.0) -> Any:
        """Invoke the function; a failure of the platform's comes back as its error document.

        On managed instances the emulator refuses while no runtime worker is idle; then this asks again.

        Raises:
            ConnectionError: The emulator did not answer; the text has its output.
        """
        limit_s = time.monotonic() + timeout_s
        while True:
            answer = self._invoke(payload, timeout_s)
            busy = isinstance(answer, dict) and answer.get("errorType") == "Runtime.Unavailable"
            if not busy or time.monotonic() > limit_s:
                return answer
            time.sleep(0.01)

    def _invoke(self, payload: Any, timeout_s: float) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._invoke_port, timeout=timeout_s)
        try:
            body = json.dumps({} if payload is None else payload)
            connection.request("POST", _INVOKE_PATH, body, {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
        except (OSError, http.client.HTTPException) as exc:
            raise ConnectionError(f"{exc!r} from the emulator:\n" + "".join(self.output)) from exc
        finally:
            connection.close()
        try:
            return json.loads(answer)
        except ValueError:
            return answer.decode(errors="replace")

    def wait_for_output(self, text: str, timeout_s: float = 10.0) -> str:
        """Wait for the first line that contains a text.

        Raises:
            TimeoutError: None came.
        """
        limit_s = time.monotonic() + timeout_s
        while time.monotonic() < limit_s:
            for line in list(self.output):
                if text in line:
                    return line
            time.sleep(0.01)
        raise TimeoutError(f"no line with {text!r} in:\n" + "".join(self.output))

    def stop(self) -> int | None:
        """SIGTERM: the emulator shuts the environment down and leaves; whatever is left is killed.

        Returns:
            The emulator's exit code.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT_S)
        mark = f"AWS_LAMBDA_RUNTIME_API={self.api}".encode()
        while left := procfs.tree({self._process.pid}, mark):
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.005)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.wait()

    def _environ(self, binary: Path) -> dict[str, str]:
        python = Path(os.path.realpath(self.python))
        prefix = python.parent.parent
        environ = {
            "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/bin",
            "LD_LIBRARY_PATH": "/var/lang/lib",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.timeout_s),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            **self.environ,
            "SANDBOX_TASK": str(self.task_root.resolve()),
            "SANDBOX_LAYER": str(self.layer.resolve()),
            "SANDBOX_RIE": str(binary),
            "SANDBOX_PREFIX": str(prefix),
            "SANDBOX_SITE": str(_site_packages()),
            "SANDBOX_RUNTIME": self.runtime or f"/var/lang/bin/python3 -m awslambdaric {self.handler}",
        }
        if self.concurrency is not None:
            environ["AWS_LAMBDA_MAX_CONCURRENCY"] = str(self.concurrency)
            environ["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        return environ

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self.output.append(line.decode(errors="replace"))


def _site_packages() -> Path:
    found = importlib.util.find_spec("awslambdaric")
    if found is None or found.origin is None:
        raise UnavailableError("awslambdaric is not installed beside this interpreter")
    return Path(found.origin).resolve().parents[1]


def _check_namespaces() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise UnavailableError("the emulator's mounts need root and the unshare command")
    tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    if tried.returncode:
        raise UnavailableError(f"no private mount namespace here: {tried.stderr.decode().strip()}")


def _free_port() -> int:
    """A port nobody listens on, from below those the kernel hands out: it stays free until it is bound."""
    while True:
        port = random.randint(*_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
