"""What TLS trusts and proves, and what is said of files that cannot be used."""

import socket
import ssl
import subprocess
from _ssl import _SSLContext
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.errors import ExchangeError
from shipper.transport import trust
from shipper.transport.trust import Unusable, context_of
from tests.shipper.support import Server, http
from tests.shipper.transport.client import Client

Ask = Callable[[_SSLContext], tuple[int, bytes]]


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """Each test has its own files under its own names, but not its own system."""
    context_of.cache_clear()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system on which Python finds no authorities."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))
    return tmp_path


@pytest.fixture
def ask(server: Server, certificate: Path) -> Ask:
    """Asks a server of TLS that wants a certificate if it can have one, and says whose it got."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate / "cert.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            server.answering(http(200, b"known" if wrapped.getpeercert() else b"unknown"))(wrapped)

    server.behaviours = [behave]

    def asked(context: _SSLContext) -> tuple[int, bytes]:
        client = Client(f"https://localhost:{server.port}/", context=context)
        try:
            return client.ask()
        finally:
            client.close()

    return asked


def test_a_context_is_as_the_standard_librarys_own() -> None:
    """Of whichever Python this is: what it verifies, by which versions and ciphers, and whom it trusts."""
    ours, theirs = context_of()[0], ssl.create_default_context()
    settings = ("protocol", "options", "verify_mode", "verify_flags", "check_hostname", "_host_flags")
    for name in (*settings, "minimum_version", "maximum_version", "security_level", "keylog_filename"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.get_ciphers() == theirs.get_ciphers()
    assert ours.get_ca_certs() == theirs.get_ca_certs()


def test_authorities_that_a_variable_names_are_trusted(ask: Ask, certificate: Path) -> None:
    """Instead of the system's."""
    context, unusable = context_of(("CERTIFICATE", str(certificate / "cert.pem")))
    assert unusable == ()
    assert ask(context) == (200, b"unknown")
    with pytest.raises(ExchangeError) as error:
        ask(context_of()[0])
    assert error.value.reason == "certificate"


def test_our_own_certificate_is_shown(ask: Ask, certificate: Path) -> None:
    """The key in a file of its own, or beside it."""
    authorities, own = ("CERTIFICATE", str(certificate / "cert.pem")), ("CLIENT_CERTIFICATE", "")
    both = certificate / "both.pem"
    both.write_bytes((certificate / "cert.pem").read_bytes() + (certificate / "key.pem").read_bytes())
    for path, key in ((certificate / "cert.pem", str(certificate / "key.pem")), (both, "")):
        context, unusable = context_of(authorities, (own[0], str(path)), ("CLIENT_KEY", key))
        assert unusable == ()
        assert ask(context) == (200, b"known")


def test_a_file_that_cannot_be_used_is_named(certificate: Path, tmp_path: Path) -> None:
    """And gone on without."""
    text, missing = tmp_path / "text.pem", str(tmp_path / "missing.pem")
    text.write_text("no certificate\n")
    locked = certificate / "locked.pem"
    make = f"openssl ec -in {certificate}/key.pem -aes128 -passout pass:secret -out {locked}"
    subprocess.run(make.split(), check=True, capture_output=True)
    own, key = str(certificate / "cert.pem"), str(certificate / "key.pem")
    cases: list[tuple[dict[str, str], list[tuple[str, str]]]] = [
        ({"authorities": missing}, [("authorities", missing)]),
        ({"authorities": str(text)}, [("authorities", str(text))]),
        ({"certificate": missing, "key": key}, [("certificate", missing)]),
        ({"certificate": own, "key": missing}, [("key", missing)]),
        ({"certificate": str(text), "key": key}, [("key", key)]),
        ({"certificate": own}, [("certificate", own)]),
        ({"certificate": own, "key": str(locked)}, [("key", str(locked))]),
        ({"key": key}, [("key", key)]),
    ]
    for files, named in cases:
        three = [(name, files.get(name, "")) for name in ("authorities", "certificate", "key")]
        context, unusable = context_of(*three)
        assert [(one.variable, one.path) for one in unusable] == named, files
        assert all(one.why for one in unusable)
        assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_what_openssls_variables_name_is_looked_at(
    bare: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path, content: str | None
) -> None:
    """It says nothing of a file that is missing, or that has no certificate in it."""
    monkeypatch.setattr(trust, "USUAL_PLACES", (str(certificate / "cert.pem"),))
    file, directory = bare / "nowhere.pem", bare / "nowhere"
    if content is not None:
        file.write_text(content)
    _, unusable = context_of(file=("SSL_CERT_FILE", str(file)), directory=("SSL_CERT_DIR", str(directory)))
    assert unusable == (
        Unusable("SSL_CERT_FILE", str(file), "no file that can be read" if content is None else "no certificate in it"),
        Unusable("SSL_CERT_DIR", str(directory), "no directory that can be read"),
    )


def test_what_openssls_variables_name_is_trusted(ask: Ask, monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Without a word."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    context, unusable = context_of(file=("SSL_CERT_FILE", str(certificate / "cert.pem")))
    assert unusable == ()
    assert ask(context)[0] == 200


def test_where_python_finds_no_authorities_the_usual_places_are_tried(
    ask: Ask, bare: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    """In turn."""
    monkeypatch.setattr(trust, "USUAL_PLACES", ("/nowhere", str(certificate / "cert.pem")))
    context, unusable = context_of(directory=("SSL_CERT_DIR", str(bare / "nowhere")))
    assert {one.variable for one in unusable} == {"SSL_CERT_DIR"}
    assert ask(context)[0] == 200


def test_a_system_without_authorities_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that would name some."""
    monkeypatch.setattr(trust, "USUAL_PLACES", ("/nowhere",))
    _, (_, unusable) = context_of(directory=("SSL_CERT_DIR", str(bare / "nowhere")))
    assert (unusable.variable, "/nowhere" in unusable.why) == ("SSL_CERT_FILE", True)


def test_every_place_that_is_tried_is_an_absolute_one() -> None:
    """Amazon Linux's among them."""
    assert all(place.startswith("/etc/") for place in trust.USUAL_PLACES)
    assert any(place.startswith("/etc/pki/tls/") for place in trust.USUAL_PLACES)
