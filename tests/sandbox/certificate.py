"""A self-signed certificate for loopback, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate that is its own authority, and its key."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """What the server shows and a client trusts."""
        return self.directory / "cert.pem"

    @property
    def key(self) -> Path:
        """The private key."""
        return self.directory / "key.pem"

    def remove(self) -> None:
        """Delete both files."""
        shutil.rmtree(self.directory, ignore_errors=True)


def make() -> Certificate:
    """Make a certificate for 127.0.0.1 and localhost, good for a day.

    Raises:
        FileNotFoundError: There is no openssl command.
    """
    made = Certificate(Path(tempfile.mkdtemp(prefix="sandbox-tls-")))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return made
