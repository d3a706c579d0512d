"""Register, subscribe and ask for the first event, before anything else is loaded.

Registration stands in series with every cold start: the platform starts the runtime only when all extensions
have registered. So this module imports `os` and `_socket` and nothing else, and whatever can wait, waits.

It never raises for what the platform or the settings do: the outcome is in `Booted`.
"""

import _socket
import os
from time import monotonic

from lifecycle.contract.schemes import is_port
from lifecycle.contract.settings import Problem, Settings
from lifecycle.extensions_api import (
    SANDBOX_HOST,
    STATUS_OK,
    STATUS_UNSUPPORTED,
    Answer,
    AnswerReader,
    HungUpError,
    LocalApiError,
    Requests,
    names_other_api,
    text_member,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
LOOPBACK_6 = "::1"
EVERY_INTERFACE = "0.0.0.0"

# Connections the kernel keeps while no collector accepts them, as far as its own limit goes: what comes beyond would be
# dialled again after a second.
LISTEN_BACKLOG = 1024

# Likewise at the intake, to which a handful of exporters connect.
INTAKE_BACKLOG = 128

RECEIVE_BYTES = 65_536

DISABLED = "disabled"
NO_DESTINATION = "no_destination"


class NotRegisteredError(Exception):
    """The platform did not take this extension; the text says what it answered."""


class StrictError(Exception):
    """A bad setting, and `TAILRACE_STRICT` is set; the text names the variables.

    Attributes:
        booted: Registered; the platform does not know of the error before `report_init_error`.
    """

    def __init__(self, names: str, booted: "Booted") -> None:
        super().__init__(names)
        self.booted = booted


class Connection:
    """A connection to the platform's local API, made again when it was closed.

    Args:
        host_port: `AWS_LAMBDA_RUNTIME_API`.

    Attributes:
        awaiting: A request was sent whose answer has not been read.
    """

    def __init__(self, host_port: str) -> None:
        host, _, port = host_port.rpartition(":")
        self._address = (host.strip("[]"), int(port)) if is_port(port) else (host_port, 80)
        self._socket: _socket.socket | None = None
        self._reader = AnswerReader()
        self.awaiting = False

    def send(self, request: bytes) -> None:
        """Sends a request.

        Raises:
            OSError: Nobody takes it.
        """
        if self._socket is None:
            family = _socket.AF_INET6 if ":" in self._address[0] else _socket.AF_INET
            self._socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            self._socket.connect(self._address)
        self._socket.sendall(request)
        self.awaiting = True

    def receive(self) -> Answer | None:
        """Reads once.

        Returns:
            The answer, or None when more is to come.

        Raises:
            OSError: The connection broke.
            LocalApiError: What came is not an answer.
        """
        if self._socket is None:
            raise LocalApiError("no request was sent")
        answer = self._reader.receive(self._socket.recv(RECEIVE_BYTES))
        if answer is not None:
            self.awaiting = False
            if not answer.keeps:
                self.close()
        else:
            # A platform that writes head and body apart may wait for the first to be acknowledged (RFC 896), and the
            # kernel here for something to send with it, 40 ms.
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_QUICKACK, 1)
        return answer

    def wait(self) -> Answer:
        """Waits for the answer to what was sent.

        Raises:
            OSError: The connection broke.
            LocalApiError: What came is not an answer.
        """
        while True:
            answer = self.receive()
            if answer is not None:
                return answer

    def fileno(self) -> int:
        """Descriptor to wait on; -1 when closed."""
        return self._socket.fileno() if self._socket else -1

    def close(self) -> None:
        """Closes; the next request connects again."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._reader = AnswerReader()
        self.awaiting = False


class Booted:
    """What booting came to.

    Attributes:
        name: The name registered under.
        settings: The parsed environment.
        requests: Builds further requests; knows the identifier.
        connection: To the local API; the question for the first event is out unless `warms_first`.
        listener: Listening socket, or None when nothing is subscribed.
        intake: Listening sockets at which the function's own telemetry is taken.
        idle_reason: Why nothing will be shipped, as fields of a log line; empty when all is well.
        unsubscribed_reason: Likewise, why nothing but the function's own telemetry will be.
        warms_first: Everything is to be loaded before the first event is asked for.
        marks: Monotonic seconds by step.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.requests = Requests(settings.api_host_port)
        self.connection = Connection(settings.api_host_port)
        self.listener: _socket.socket | None = None
        self.intake: list[_socket.socket] = []
        self.idle_reason: dict[str, object] = {}
        self.unsubscribed_reason: dict[str, object] = {}
        self.warms_first = settings.function.initialization_type != "on-demand"
        self.marks = {"started": monotonic()}

    def mark(self, step: str) -> None:
        """Remembers when `step` was reached."""
        self.marks[step] = monotonic()

    def ask_next(self) -> None:
        """Asks for the next event, unless that question is out already.

        Raises:
            OSError: Nobody takes it.
        """
        if self.connection.awaiting:
            return
        try:
            self.connection.send(self.requests.next())
        except OSError:  # it died since the last answer: a new one may well work
            self.connection.close()
            self.connection.send(self.requests.next())
        self.marks.setdefault("asked", monotonic())

    def close_listener(self) -> None:
        """Stops listening for the platform."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def close_listeners(self) -> None:
        """Stops listening: nothing will be collected."""
        self.close_listener()
        if self.intake:
            _remove(self.settings.intake_file)
        for listener in self.intake:
            listener.close()
        self.intake = []

    def close(self) -> None:
        """Gives back every descriptor."""
        self.close_listeners()
        self.connection.close()


def boot(environ: "Mapping[str, str]", name: str) -> Booted:
    """Registers, subscribes and asks for the first event without waiting for it.

    Args:
        environ: The environment.
        name: The launcher's file name, by which the platform knows the extension.

    Raises:
        NotRegisteredError: There is no platform, or it refused.
        StrictError: A setting is bad and `TAILRACE_STRICT` asks for an init error.
    """
    booted = Booted(name, Settings(environ))
    settings = booted.settings
    try:
        _register(booted)
        fatal = refused_by(settings)
        if fatal:
            raise StrictError(", ".join(fatal), booted)
        if not booted.idle_reason:
            _subscribe(booted)
        if booted.idle_reason and booted.intake:
            # Runtimes may have started, and their SDKs have been told where to export to.
            booted.unsubscribed_reason, booted.idle_reason = booted.idle_reason, {}
            booted.close_listener()
        if booted.idle_reason:
            booted.close_listeners()
        if booted.idle_reason or not booted.warms_first:
            booted.ask_next()
    except NotRegisteredError:
        booted.close()
        raise
    except (OSError, LocalApiError) as exc:
        booted.close()
        raise NotRegisteredError(f"{settings.api_host_port or 'no address'}: {exc}") from exc
    return booted


def refused_by(settings: Settings) -> list[str]:
    """The variables for which `TAILRACE_STRICT` has the function not start; none where it is not set.

    What is wrong with patterns joins the problems: compiling them loads `re`, so otherwise the shipper says it, when it
    needs its rules, and no cold start waits for it.
    """
    if not settings.strict:
        return []
    from lifecycle.contract.patterns import problems

    settings.problems += problems(settings)
    return [problem.variable for problem in settings.problems if problem.is_fatal]


def idle_reason(settings: Settings) -> str:
    """Why nothing would be shipped whatever the platform says: `disabled` or `no_destination`; "" if it would be."""
    if not settings.enabled:
        return DISABLED
    return "" if settings.routes else NO_DESTINATION


def _register(booted: Booted) -> None:
    settings = booted.settings
    if not settings.api_host_port:
        raise NotRegisteredError("AWS_LAMBDA_RUNTIME_API is not set; Lambda sets it for the extensions it starts")
    events = ("SHUTDOWN",) if settings.function.is_managed else ("INVOKE", "SHUTDOWN")
    if settings.otlp_intake:
        # /tmp survives a reset of the environment, and with it where the last one listened.
        _remove(settings.intake_file)
        if settings.enabled and settings.routes:
            _open_intake(booted)  # before all have registered no runtime starts
    booted.connection.send(booted.requests.register(booted.name, events))
    reason = idle_reason(settings)
    if reason:
        booted.idle_reason = {"reason": reason}
    else:
        booted.listener = _listener(booted)  # while the platform works on its answer
    answer = booted.connection.wait()
    if answer.status != STATUS_OK:
        raise NotRegisteredError(f"answered {answer.status} {answer.body[:300].decode('utf-8', 'replace')}")
    booted.requests.identifier = answer.headers.get("lambda-extension-identifier", "")
    settings.function.account_id = text_member(answer.body, "accountId")
    booted.mark("registered")


def _listener(booted: Booted) -> "_socket.socket | None":
    """A listening socket at the configured address, else at one the kernel chooses."""
    settings = booted.settings
    host = settings.listen_host or _sandbox_address(settings.api_host_port)
    for address in dict.fromkeys(((host, settings.listen_port), (host, 0), (LOOPBACK, 0))):
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            # A predecessor's connections may still be waiting out their time at a fixed port.
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            _bind(listener, address)
            listener.listen(LISTEN_BACKLOG)
            listener.setblocking(False)
        except (OSError, TypeError, ValueError) as exc:  # a host may be any text
            listener.close()
            variable = "TAILRACE_LISTEN_PORT" if address[1] else "TAILRACE_LISTEN_HOST"
            used = "a port the kernel chooses" if address[1] else LOOPBACK
            value = f"{address[0]}:{address[1]}"
            settings.problems.append(Problem(variable, value, f"an address to listen on ({exc})", used))
        else:
            return listener
    booted.idle_reason = {"reason": "no_listener"}
    return None


def _open_intake(booted: Booted) -> None:
    """Listens where the function's own SDK exports to, and writes down where that is."""
    settings = booted.settings
    port = settings.otlp_port
    try:
        try:
            listener = _loopback_listener(_socket.AF_INET, LOOPBACK, port)
        except OSError as exc:
            listener = _loopback_listener(_socket.AF_INET, LOOPBACK, 0)
            port = listener.getsockname()[1]
            expected = f"a port to listen on ({exc}); an SDK without the wrapper does not know of another one"
            value = str(settings.otlp_port)
            settings.problems.append(Problem("TAILRACE_OTLP_PORT", value, expected, str(port), is_met=True))
        booted.intake.append(listener)
        port = listener.getsockname()[1]
        fd = os.open(settings.intake_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, b"http://%b:%d\n" % (LOOPBACK.encode(), port))
        finally:
            os.close(fd)
    except OSError as exc:
        expected = f"a port and a file to say which it is ({exc})"
        settings.problems.append(Problem("TAILRACE_OTLP_INTAKE", "1", expected, "the SDK's own settings", is_met=True))
    if booted.intake:
        try:
            booted.intake.append(_loopback_listener(_socket.AF_INET6, LOOPBACK_6, port))
        except OSError:
            return  # there may be no such loopback, and whoever tries it tries the other one next


def _loopback_listener(family: int, host: str, port: int) -> "_socket.socket":
    listener = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(INTAKE_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _remove(path: str) -> None:
    """Removes a file, if there is one."""
    try:
        os.unlink(path)
    except OSError:
        return


def _bind(listener: "_socket.socket", address: "tuple[str, int]") -> None:
    listener.bind(address)
    if listener.getsockname()[0] == EVERY_INTERFACE:
        raise OSError("every interface: nobody but the platform is to get in")


def _sandbox_address(api_host_port: str) -> str:
    """The address by which the platform reaches a listener here.

    The file is read instead of asking the resolver, which would load libraries and may ask a name server. A
    platform at loopback whose hosts file lacks the name is an emulator on the same host.
    """
    try:
        for line in _read("/etc/hosts").splitlines():
            fields = line.partition("#")[0].split()
            if SANDBOX_HOST in fields[1:] and ":" not in fields[0]:
                return fields[0]
        if not api_host_port.startswith("127."):
            return _socket.gethostbyname(SANDBOX_HOST)
    except OSError:
        pass
    return LOOPBACK


def _read(path: str) -> str:
    """A short text file, without the decoder that `open` would load."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, RECEIVE_BYTES).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _subscribe(booted: Booted) -> None:
    if booted.listener is None:
        return
    _, port = booted.listener.getsockname()
    request = booted.requests.subscribe(booted.settings, port)
    try:
        try:
            answer = _answered(booted.connection, request)
        except (OSError, HungUpError):  # it died since registration: a new one may well work
            answer = _answered(booted.connection, request)
    except (OSError, LocalApiError) as exc:
        booted.idle_reason = {"reason": "subscription_failed", "error": str(exc)}
        return
    booted.mark("subscribed")
    if answer.status != STATUS_OK:
        shown = answer.body[:300].decode("utf-8", "replace")
        reason = "subscription_refused"
        if answer.status == STATUS_UNSUPPORTED:
            reason = "telemetry_unsupported"
        elif names_other_api(shown, booted.settings.api):
            reason = "other_api_in_use"
        booted.idle_reason = {"reason": reason, "status": answer.status, "answer": shown}


def _answered(connection: Connection, request: bytes) -> Answer:
    """The answer to a request; a connection that brings none is closed."""
    try:
        connection.send(request)
        return connection.wait()
    except (OSError, LocalApiError):
        connection.close()
        raise


def report_init_error(error: StrictError) -> None:
    """Tells the platform, which then ends the environment: whatever is to be said is said before.

    Raises:
        OSError: The connection broke.
        LocalApiError: What came is not an answer.
    """
    safe = "".join(c if c.isalnum() or c in "_, " else "?" for c in str(error))
    message = f"TAILRACE_STRICT is set and these settings are not usable: {safe}"
    connection = error.booted.connection
    connection.send(error.booted.requests.init_error("Tailrace.BadSettings", message))
    connection.wait()
