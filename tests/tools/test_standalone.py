"""The standalone zip where there is no Python at all: a root directory with nothing in it but what is named here."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from moto import mock_aws

from tests.e2e.conftest import NAME
from tests.sandbox import Destination, Environment, Function, Status
from tests.tools import slash_opt
from tests.tools.bundles import BEFORE_THE_BUNDLE
from tests.tools.conftest import ROOT
from tests.tools.test_elf import shared_object
from tests.tools.test_every_python import AARCH64, ON_DEMAND, life
from tests.tools.test_layer import COLUMNS_SINCE, LEAN, POSITIONS
from tools import archive, contents, debian, elf, publish, pythons, sources, standalone
from tools.bytecode import FOR_PEOPLE
from tools.target import Target, dotted, real_interpreter

RUNTIMES = Path(__file__).parent / "runtimes"

# What was installed is a tree with bin and lib: the one that runs this.
PYTHON_DIST = real_interpreter().parents[1]
VERSION = sys.version_info[:2]

# What `make pythons` fetches.
FOREIGN = pythons.FETCHED / "debian-foreign-aarch64"

NEEDED = {"node": "node", "binary": "gcc"}
AT_HAND = [name for name, program in NEEDED.items() if shutil.which(program)]

_ENTER = """\
#!/bin/sh
exec {unshare} --mount --propagation=private {sh} -c '
set -e
{mount} --bind "$1" "$0/opt"
{mount} -o remount,bind,ro "$0/opt"
{mount} -t proc proc "$0/proc"
{mount} --bind /dev/null "$0/dev/null"
root=$0
shift
exec {chroot} "$root" "$@"
' {root} {layer} {command}
"""


@pytest.fixture(scope="session")
def standalone_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip with the interpreter that runs this, built as `make layer-standalone PYTHON_DIST=…` builds it."""
    output = tmp_path_factory.mktemp("standalone") / "tailrace-standalone.zip"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tools.build_standalone",
        "--output",
        output,
        "--python-dist",
        PYTHON_DIST,
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return output


@pytest.fixture(scope="session")
def layer(standalone_zip: Path) -> Path:
    """The zip unpacked to what becomes /opt."""
    return slash_opt.unpacked(standalone_zip, standalone_zip.with_name("opt"))


def libraries_of(*programs: Path) -> Iterator[Path]:
    """The shared libraries of this machine that programs are loaded with."""
    done = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True)
    for path in sorted(set(re.findall(r"(?:=> |^\s)(/\S+) \(0x", done.stdout, re.MULTILINE))):
        if not Path(path).name.startswith("libpython"):  # the layer's own, or there is none
            yield Path(path)


@pytest.fixture(params=AT_HAND or [""])
def function(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A function that is no Python's, as what it is called and a file to start."""
    if not request.param:
        pytest.skip("neither Node.js nor a C compiler on this machine")
    if slash_opt.why_not():
        pytest.skip(slash_opt.why_not())
    task = tmp_path / "task"
    task.mkdir()
    if request.param == "binary":
        command: list[str | Path] = [
            "gcc",
            "-static",
            "-O1",
            "-D_GNU_SOURCE",
            "-o",
            task / "bootstrap",
            RUNTIMES / "bootstrap.c",
        ]
        subprocess.run(command, check=True)
    else:
        (task / "node").symlink_to(Path(str(shutil.which("node"))).resolve())
        shutil.copyfile(RUNTIMES / "bootstrap.js", task / "bootstrap.js")
    return request.param, task


@pytest.fixture
def root(tmp_path: Path, layer: Path, function: tuple[str, Path]) -> Path:
    """A root directory: the machine's C library and what is linked against, the function, and no Python."""
    root = tmp_path / "root"
    for name in ("opt", "proc", "dev", "tmp", "etc", "var/task"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").touch()
    (root / "etc/hosts").write_text("127.0.0.1 localhost sandbox.localdomain sandbox\n", encoding="utf-8")
    programs = [layer / standalone.PROGRAM, *layer.glob("tailrace/**/*.so")]
    for path in function[1].iterdir():
        (root / "var/task" / path.name).write_bytes(path.read_bytes())
        (root / "var/task" / path.name).chmod(0o755)
        programs.append(path.resolve())
    for library in libraries_of(*programs):
        copy = root / str(library).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            copy.write_bytes(library.resolve().read_bytes())
            copy.chmod(0o755)
    return root


def entering(script: Path, root: Path, layer: Path, *command: str) -> Path:
    """Writes a program that becomes `command` in the root directory, the layer read-only at /opt."""
    programs = {name: str(shutil.which(name)) for name in ("unshare", "sh", "mount", "chroot")}
    words = {"root": shlex.quote(str(root)), "layer": shlex.quote(str(layer)), "command": shlex.join(command)}
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_ENTER.format(**words, **programs), encoding="utf-8")
    script.chmod(0o755)
    return script


@pytest.mark.e2e
def test_everything_is_delivered_where_there_is_no_python(
    root: Path, layer: Path, function: tuple[str, Path], tmp_path: Path
) -> None:
    """Extension and function in a root without one: TLS, a retry, the log, shutdown, and every line."""
    kind, _ = function
    assert list(root.rglob("*python*")) == []
    before = slash_opt.state(layer)
    extension = entering(tmp_path / "extensions/tailrace", root, layer, "/opt/extensions/tailrace")
    command = ["/var/task/bootstrap"] if kind == "binary" else ["/var/task/node", "/var/task/bootstrap.js"]
    runtime = entering(tmp_path / "runtime", root, layer, *command)
    with Destination(tls=True) as backend:
        backend.faults.script([Status(503)])
        shutil.copyfile(backend.ca_path, root / "tmp/ca.pem")
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "SSL_CERT_FILE": "/tmp/ca.pem",
            "TAILRACE_FLUSH": "end",
            "TAILRACE_PLATFORM_LOGS": "1",  # each event is a record then, and can be counted
            "TAILRACE_LOG_LEVEL": "debug",
            "TAILRACE_FLUSH_BUDGET_MS": "30000",  # what is asked is whether, not how soon
        }
        function_ = Function(
            handler="x", task_root=tmp_path, runtime_command=[str(runtime)], timeout_s=60.0, environ=environ
        )
        with Environment(extensions_dir=extension.parent, function=function_, platform=ON_DEMAND) as env:
            for _ in range(3):
                assert env.invoke({}).status == "success"
            assert env.shutdown().clean
            bodies = [str(record.body) for record in backend.unique()]
            assert len(bodies) == len(env.telemetry(NAME).emitted)
            said = env.printed(NAME)
    assert sorted(body for body in bodies if " says " in body) == [f"{kind} says {number}" for number in range(3)]
    assert any("shipper.retry_planned" in line for line in said)
    assert not any('"level":"error"' in line for line in said)
    assert slash_opt.state(layer) == before


@pytest.mark.e2e
def test_every_carried_module_can_be_imported_there(
    root: Path, layer: Path, function: tuple[str, Path], tmp_path: Path
) -> None:
    """Nothing that was left out of the library is missed by what is carried, nor compiled but what people run alone."""
    assert function
    library = layer / "tailrace"
    modules = [
        ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
        for package in ("lifecycle", "collector", "shipper", "httptools", "msgspec", "structlog", "tenacity", "zlib_ng")
        for path in sorted((library / package).rglob("*.py"))
    ]
    lazily = (
        "ssl",
        "encodings.idna",
        "traceback",
        "difflib",
        "random",
        "argparse",
        "zoneinfo",
        "uuid",
        "json",
        "ipaddress",
    )
    program = "import sys; sys.path.insert(0, '/opt/tailrace')\n"
    program += f"from lifecycle import finder; finder.install('/opt/tailrace'); {LEAN}; "
    program += "; ".join(f"import {name}" for name in (*modules, *lazily))
    script = entering(tmp_path / "run", root, layer, f"/opt/{standalone.PROGRAM}", "-ISv", "-c", program)
    done = subprocess.run([script], env={}, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, [line for line in done.stderr.splitlines() if "Error" in line]
    compiled = re.findall(r"^# code object from '?/opt/tailrace/(\S+\.py)'?$", done.stderr, re.MULTILINE)
    assert set(compiled) == FOR_PEOPLE | BEFORE_THE_BUNDLE


@pytest.mark.e2e
def test_settings_can_be_checked_there(root: Path, layer: Path, function: tuple[str, Path], tmp_path: Path) -> None:
    """By the Python it brings: `lifecycle.check`, TLS included."""
    assert function
    program = (
        "import runpy, sys; sys.path.insert(0, '/opt/tailrace'); runpy.run_module('lifecycle.check', {}, '__main__')"
    )
    script = entering(tmp_path / "run", root, layer, f"/opt/{standalone.PROGRAM}", "-IS", "-c", program, "--send")
    with Destination(tls=True) as backend:
        shutil.copyfile(backend.ca_path, root / "tmp/ca.pem")
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, "SSL_CERT_FILE": "/tmp/ca.pem", "TAILRACE_FLUSCH": "x"}
        done = subprocess.run([script], env=environ, check=False, capture_output=True, text=True, timeout=60)
        assert len(backend.all_records()) == 6, done.stdout
    assert (done.returncode, done.stderr) == (1, "")
    assert "did you mean TAILRACE_FLUSH?" in done.stdout


class TestContent:
    """What the zip holds."""

    def test_size_is_stated_and_bounded(self, standalone_zip: Path) -> None:
        """Both zipped and, for Lambda's limit, unpacked."""
        with zipfile.ZipFile(standalone_zip) as packed:
            unpacked_bytes = sum(entry.file_size for entry in packed.infolist())
        assert standalone_zip.stat().st_size < 15_000_000
        assert unpacked_bytes < 50_000_000

    def test_launcher_names_the_interpreter_it_brings(self, layer: Path) -> None:
        """And is otherwise that of every layer; so are the packages."""
        launcher = (layer / "extensions/tailrace").read_text(encoding="utf-8")
        first, _, rest = launcher.partition("\n")
        assert first == "#!/opt/tailrace/python/bin/python3 -IS"
        assert rest == (ROOT / "tools/launcher.py").read_text(encoding="utf-8")
        for path in (ROOT / "shipper").rglob("*.py"):
            carried = (layer / "tailrace" / path.relative_to(ROOT)).read_text(encoding="utf-8")
            assert carried == sources.bare(path.read_text(encoding="utf-8"))

    def test_library_is_bytecode_and_compiled_modules_alone(self, layer: Path) -> None:
        """No source, no tests, no packaging tools, nothing of a site."""
        library = layer / f"tailrace/python/lib/python{dotted(VERSION)}"
        files = [path.relative_to(library) for path in library.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} == {".pyc", ".so"}
        assert not {part for path in files for part in path.parts} & {"test", "idlelib", "site-packages", "ensurepip"}
        assert Path("os.pyc") in files

    @pytest.mark.skipif(VERSION < COLUMNS_SINCE, reason="bytecode of Python 3.10 tells no columns")
    def test_library_tells_lines_and_no_columns(self, standalone_zip: Path) -> None:
        """As the layer's own bytecode."""
        command: list[str | Path] = [real_interpreter(), "-IS", "-c", POSITIONS, standalone_zip, ".pyc"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        files, lines, columns = map(int, done.stdout.split())
        assert files > 400
        assert lines > 100_000
        assert columns == 0

    def test_licences_and_bill_name_it(self, layer: Path, standalone_zip: Path) -> None:
        """It is passed on like everything else."""
        text = (layer / "tailrace/LICENSES").read_text(encoding="utf-8")
        assert f"CPython {dotted(VERSION)}: LICENSE" in text
        assert "PYTHON SOFTWARE FOUNDATION LICENSE" in text
        bill = standalone_zip.with_suffix(".cdx.json").read_text(encoding="utf-8")
        assert f'"pkg:generic/cpython@{dotted(VERSION)}"' in bill
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
        assert hashlib.sha256(standalone_zip.read_bytes()).hexdigest() in bill

    def test_built_twice_it_is_identical(self, standalone_zip: Path, tmp_path: Path) -> None:
        """From an archive of the same tree, as it is distributed."""
        distributed = tmp_path / "cpython.tar.gz"
        name = f"python{dotted(VERSION)}"
        with tarfile.open(distributed, "w:gz", compresslevel=1) as packed:
            packed.add(PYTHON_DIST / "bin" / name, f"python/bin/{name}")
            packed.add(PYTHON_DIST / "lib" / name, f"python/lib/{name}", filter=_without_packages)
            for library in (PYTHON_DIST / "lib").glob("libpython*.so*"):
                packed.add(library, f"python/lib/{library.name}")
        command: list[str | Path] = [sys.executable, "-m", "tools.build_standalone", "--output", tmp_path / "again.zip"]
        subprocess.run([*command, "--python-dist", distributed], cwd=ROOT, check=True, timeout=300)
        assert (tmp_path / "again.zip").read_bytes() == standalone_zip.read_bytes()


def _without_packages(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What an archive of a distribution has no need of."""
    left_out = ("site-packages", "dist-packages", "__pycache__", "test")
    return None if set(left_out) & set(entry.name.split("/")) else entry


def built_for_aarch64(output: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Builds the zip with Debian's CPython for aarch64."""
    command: list[str | Path] = [sys.executable, "-m", "tools.build_standalone", "--output", output]
    command += ["--python-dist", FOREIGN / "root/usr", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)


@pytest.mark.e2e
@pytest.mark.optional
@pytest.mark.skipif(not AARCH64, reason="no Python for aarch64: make pythons fetches one on Debian")
def test_on_an_emulated_aarch64_everything_is_delivered(tmp_path: Path) -> None:
    """By the Python it brings, built on a machine that cannot run it."""
    if slash_opt.why_not():
        pytest.skip(slash_opt.why_not())
    done = built_for_aarch64(tmp_path / "standalone.zip", "--archs", "arm64")
    assert done.returncode == 0, done.stderr
    opt = slash_opt.unpacked(tmp_path / "standalone.zip", tmp_path / "opt")
    emulator = (str(FOREIGN / "bin" / debian.EMULATOR), "-L", str(FOREIGN / "root"))
    command = (*emulator, f"/opt/{standalone.PROGRAM}", "-ISv", "/opt/extensions/tailrace")
    said = "\n".join(life(slash_opt.entered(tmp_path / "extensions", opt, tmp_path, *command), ON_DEMAND))
    assert "/opt/tailrace/msgspec/_core.cpython-314-aarch64-linux-gnu.so" in said
    assert re.findall(r"^# code object from '?(/\S+\.py)'?$", said, re.MULTILINE) == []


@pytest.mark.optional
@pytest.mark.skipif(not AARCH64, reason="no Python for aarch64: make pythons fetches one on Debian")
def test_interpreter_of_another_architecture_than_asked_for_is_refused(tmp_path: Path) -> None:
    """It would fail every function it is attached to."""
    done = built_for_aarch64(tmp_path / "standalone.zip", "--archs", "x86_64")
    assert done.returncode == 1
    assert done.stderr == "tools.build_standalone: got a Python for aarch64, expected one for x86_64\n"
    assert not (tmp_path / "standalone.zip").exists()


def test_it_is_published_for_every_runtime_and_its_own_architecture(
    standalone_zip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list of runtimes would leave out those to come. Once: it is the same zip."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    arguments = ["--zip", str(standalone_zip), "--name", "tailrace-standalone-arm64", "--regions", "eu-central-1"]
    with mock_aws():
        assert publish.main(arguments) == publish.main(arguments) == 0
        client = boto3.client("lambda", region_name="eu-central-1")
        (version,) = client.list_layer_versions(LayerName="tailrace-standalone-arm64")["LayerVersions"]
    assert not version.get("CompatibleRuntimes")
    assert version["CompatibleArchitectures"] == [contents.ARCHITECTURES[Target.running().architecture]]
    assert capsys.readouterr().out.splitlines() == [version["LayerVersionArn"]] * 2


def test_interpreter_whose_modules_are_all_linked_in_finds_its_place(tmp_path: Path) -> None:
    """As a python-build-standalone is: without a file in lib-dynload the directory would be lost in the zip."""
    name = f"python{dotted(VERSION)}"
    for folder in ("bin", "lib"):
        (tmp_path / "dist" / folder).mkdir(parents=True)
    shutil.copy2(PYTHON_DIST / "bin" / name, tmp_path / "dist/bin" / name)
    for shared in (PYTHON_DIST / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, tmp_path / "dist/lib" / shared.name)
    library = tmp_path / "dist/lib" / name
    library.mkdir()
    (library / "LICENSE.txt").write_text("A licence.", encoding="utf-8")
    for source in (PYTHON_DIST / "lib" / name).glob("*.py"):
        shutil.copyfile(source, library / source.name)
    for package in ("encodings", "collections", "importlib", "ipaddress", "pathlib", "re", "urllib"):
        if (PYTHON_DIST / "lib" / name / package).is_dir():
            shutil.copytree(PYTHON_DIST / "lib" / name / package, library / package)
    # It compiles its own library, for which this one needs its modules; a link to them is not carried.
    (library / "lib-dynload").symlink_to(PYTHON_DIST / "lib" / name / "lib-dynload")
    standalone.add(standalone.found_in(tmp_path / "dist"), tmp_path / "tree")
    archive.write(tmp_path / "tree", tmp_path / "out.zip", is_executable=standalone.PROGRAM.__eq__)
    archive.unpack(tmp_path / "out.zip", tmp_path / "opt")
    command = [
        str(tmp_path / "opt" / standalone.PROGRAM),
        "-IS",
        "-c",
        "import sys; print(sys.prefix, sys.exec_prefix)",
    ]
    done = subprocess.run(command, env={}, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "opt" / standalone.FOLDER)] * 2
    assert done.stderr == ""


class TestDistribution:
    """What is taken for one, and what is not."""

    def test_tree_is_recognised(self) -> None:
        """By its program and its library."""
        found = standalone.found_in(PYTHON_DIST)
        assert found.program.exists()
        assert found.architecture == Target.running().architecture

    def test_what_is_none_is_refused(self, tmp_path: Path) -> None:
        """With what was looked for."""
        with pytest.raises(standalone.StandaloneError, match=r"no CPython in .* expected bin/python3\.10 to 3\.14"):
            standalone.found_in(tmp_path)
        (tmp_path / "x.tar.gz").write_bytes(b"no archive")
        with pytest.raises(standalone.StandaloneError, match="cannot be unpacked"):
            standalone.unpack(tmp_path / "x.tar.gz", tmp_path)

    def test_program_for_another_machine_is_refused(self, tmp_path: Path) -> None:
        """Lambda has two architectures."""
        (tmp_path / "bin").mkdir()
        (tmp_path / "lib/python3.13").mkdir(parents=True)
        (tmp_path / "lib/python3.13/os.py").touch()
        (tmp_path / "bin/python3.13").write_bytes(b"#!/bin/sh\n")
        with pytest.raises(standalone.StandaloneError, match="is for machine 0, expected x86_64 or aarch64"):
            standalone.found_in(tmp_path)
        assert elf.machine(shared_object()) == 62

    def test_fetched_archive_is_held_against_its_hash(self, tmp_path: Path) -> None:
        """Whoever serves it."""
        served = tmp_path / "served.tar.gz"
        served.write_bytes(b"content")
        url = served.as_uri()
        right = standalone.Release(url, hashlib.sha256(b"content").hexdigest())
        assert standalone.fetched(right, tmp_path / "cache").read_bytes() == b"content"
        served.unlink()
        assert standalone.fetched(right, tmp_path / "cache").read_bytes() == b"content"  # from the cache
        with pytest.raises(standalone.StandaloneError, match=f"expected {64 * '0'}"):
            standalone.fetched(standalone.Release(url, 64 * "0"), tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []

    def test_what_cannot_be_fetched_says_what_to_name_instead(self, tmp_path: Path) -> None:
        """A machine without internet."""
        release = standalone.Release((tmp_path / "nothing").as_uri(), "")
        with pytest.raises(standalone.StandaloneError, match="PYTHON_DIST=/path"):
            standalone.fetched(release, tmp_path)
        assert os.listdir(tmp_path) == []  # noqa: PTH208 - as it is
