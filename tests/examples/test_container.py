"""The container image's Dockerfile, built by buildah, and the extension started in what it makes.

The base images come from a registry. Stand-ins take their place, by their names: a directory with a shell, a C library
and a Python where Lambda's image has it. So it is the Dockerfile's own steps that are tried, and not the base images.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LAYER, NAME
from tests.examples.support import EXAMPLES
from tests.sandbox import Destination, Environment, Function
from tests.tools import slash_opt
from tests.tools.test_every_python import ON_DEMAND
from tests.tools.test_standalone import entering, libraries_of
from tools import pythons
from tools.target import Target, Version

pytestmark = [pytest.mark.synth, pytest.mark.optional]

DOCKERFILE = EXAMPLES / "container/Dockerfile"
BASES = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)

# What no step of the Dockerfile and no code of ours needs; it is most of an installation.
LEFT_OUT = ("test", "idlelib", "site-packages", "__pycache__", "config-*", "ensurepip", "*.a")


class Images:
    """buildah, with storage of its own: what it makes is gone with the directory."""

    def __init__(self, storage: Path) -> None:
        self._command: list[str | Path] = ["buildah", "--storage-driver", "vfs"]
        self._command += ["--root", storage / "images", "--runroot", storage / "run"]
        # Whose signature a pulled image must bear; none is pulled, but a policy there must be.
        self._policy = storage / "policy.json"
        self._policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}', encoding="utf-8")

    def run(self, verb: str, *arguments: "str | Path") -> str:
        """Runs a command of buildah that is expected to end well; returns what it printed."""
        command = [*self._command, verb]
        if verb in {"bud", "commit", "from"}:
            command += ["--signature-policy", self._policy]
        done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def stand_in(self, tree: Path, *names: str) -> None:
        """Makes an image of a tree, with what Lambda's own configures, and gives it names."""
        container = self.run("from", "scratch")
        self.run("copy", "--quiet", container, tree, "/")
        settings = ("PATH=/var/lang/bin:/usr/bin:/bin", "LAMBDA_TASK_ROOT=/var/task")
        self.run("config", *(f"--env={setting}" for setting in settings), "--workingdir=/var/task", container)
        self.run("commit", "--quiet", container, names[0])
        self.run("tag", *names)

    def built(self, dockerfile: Path, context: Path) -> Path:
        """Builds an image; returns its root directory."""
        # chroot: the steps run in a directory, without a container's runtime.
        self.run("bud", "--isolation=chroot", "--pull-never", "--file", dockerfile, "--tag", "hello", context)
        return Path(self.run("mount", self.run("from", "--pull-never", "hello")))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Path]:
    """The root directory of the image that the Dockerfile makes."""
    if not shutil.which("buildah"):
        pytest.skip("no buildah on this machine")
    if slash_opt.why_not():
        pytest.skip(slash_opt.why_not())
    storage = tmp_path_factory.mktemp("buildah")
    images = Images(storage)
    (version,) = {(int(major), int(minor)) for major, minor in re.findall(r"python:(\d)\.(\d+)", " ".join(BASES))}
    images.stand_in(_base(storage / "base", version), *BASES)
    yield images.built(checkout / "container/Dockerfile", checkout.parent)
    shutil.rmtree(storage)


def _base(root: Path, version: Version) -> Path:
    """A root directory like that of Lambda's image; its Python is of the version if this machine has one."""
    running = Target.running()
    interpreter = pythons.found(version) or running.interpreter
    assert interpreter
    for name in ("proc", "dev", "tmp", "etc", "bin", "opt", "var/task", "var/lang/bin"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").touch()
    (root / "etc/hosts").write_text("127.0.0.1 localhost sandbox.localdomain sandbox\n", encoding="utf-8")
    library = next(path for path in interpreter.parents[1].glob("lib/python3.*") if (path / "os.py").exists())
    copied = shutil.copytree(
        library, root / "var/lang/lib" / library.name, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True
    )
    for source, place in ((interpreter, "var/lang/bin/python3"), (Path(str(shutil.which("sh"))).resolve(), "bin/sh")):
        (root / place).write_bytes(source.read_bytes())
        (root / place).chmod(0o755)
    (root / "var/lang/bin/python").symlink_to("python3")
    # Of the layer's compiled modules, too: Lambda's image has the whole C library.
    compiled = (*copied.glob("lib-dynload/*.so"), *LAYER.glob(f"tailrace/**/*-{running.architecture}-*.so"))
    needed = list(libraries_of(interpreter, root / "bin/sh", *compiled))
    # Beside the C library, where the loader looks.
    beside = next(path.parent for path in needed if path.name.startswith("libc.so"))
    places = {path: str(path) for path in needed}
    places |= {path: f"{beside}/{path.name}" for path in interpreter.parents[1].glob("lib/libpython*.so*")}
    for path, place in places.items():
        copy = root / place.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o755)
    return root


def test_image_holds_the_layer_at_opt_and_the_function(image: Path) -> None:
    """With the permissions without which Lambda would start nothing."""
    assert [path.name for path in (image / "opt/extensions").iterdir()] == [NAME]
    assert os.access(image / "opt/extensions/tailrace", os.X_OK)
    assert os.access(image / "opt/tailrace/wrap", os.X_OK)
    assert (image / "var/task/app.py").read_bytes() == (EXAMPLES / "function/app.py").read_bytes()
    assert not (image / "layer").exists()
    assert not (image / "tailrace-layer.zip").exists()


def test_extension_starts_in_the_image_and_delivers_everything(image: Path, tmp_path: Path) -> None:
    """By its own first line, which names Lambda's Python."""
    extension = entering(tmp_path / "extensions/tailrace", image, image / "opt", "/opt/extensions/tailrace")
    with Destination() as backend:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, "TAILRACE_FLUSH": "end", "TAILRACE_PLATFORM_LOGS": "1"}
        function = Function(handler="app.handler", task_root=image / "var/task", timeout_s=60.0, environ=environ)
        with Environment(extensions_dir=extension.parent, function=function, platform=ON_DEMAND) as env:
            assert env.invoke({}).status == "success"
            assert env.shutdown().clean
            assert len(backend.unique()) == len(env.telemetry(NAME).emitted) > 0
            assert not any('"level":"error"' in line for line in env.printed(NAME))
