"""The layer: what it holds, that it is reproducible, and that it runs from wherever it was unpacked."""

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from lifecycle import finder
from tests.tools.bundles import CODES, FINDING, codes
from tests.tools.conftest import ROOT
from tests.tools.stub import write_source
from tools import build_layer, contents, layer, pythons
from tools.bytecode import FOR_PEOPLE
from tools.target import ARCHITECTURES, VERSIONS, Target, Version, dotted, real_interpreter
from tools.wheels import Licence

TAG = sys.implementation.cache_tag
VENDORED = ("httptools", "msgspec", "structlog", "tenacity", "zlib_ng")

# As the layer loads its libraries: without what it does not carry of them.
BESIDE = f"{FINDING}sys.path.insert(0, sys.argv[1])\n"
LEAN = "from lifecycle.contract import lean; lean.load(); lean.load_structlog(); lean.load_tenacity()"
# Of zlib-ng the oldest Python has the package alone.
LEAN += (
    "; lean.load_zlib_ng()"
    if sys.version_info >= (3, 11)
    else "; lean.__version__ = ''; sys.modules['zlib_ng._version'] = lean; import zlib_ng"
)

# PEP 657: the Python from which on bytecode may tell columns.
COLUMNS_SINCE = (3, 11)

# Counts, for bytecode of its own version: modules, and instructions that tell a line, and that tell a column.
POSITIONS = (
    CODES
    + """
import marshal, sys, zipfile
files = lines = columns = 0
with zipfile.ZipFile(sys.argv[1]) as packed:
    if sys.argv[2].endswith(".bundle"):
        codes = list(codes_of(packed.read(sys.argv[2])).values())
    else:
        codes = [marshal.loads(packed.read(n)[16:]) for n in packed.namelist() if n.endswith(sys.argv[2])]
files = len(codes)
while codes:
    code = codes.pop()
    codes += [constant for constant in code.co_consts if isinstance(constant, type(code))]
    for line, _, column, end_column in code.co_positions():
        lines += line is not None
        columns += column is not None or end_column is not None
print(files, lines, columns)
"""
)


def names(zip_path: Path) -> list[str]:
    """The zip's entries."""
    with zipfile.ZipFile(zip_path) as packed:
        return packed.namelist()


def run(command: list[str | Path], cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs a program that is expected to end well, with an empty environment."""
    return subprocess.run(command, cwd=cwd, env={}, check=True, capture_output=True, text=True, timeout=30)


def content(zip_path: Path, name: str) -> bytes:
    """An entry's."""
    with zipfile.ZipFile(zip_path) as packed:
        return packed.read(name)


def module_of(entry: str) -> str:
    """The module whose source an entry is."""
    return entry.removeprefix("tailrace/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def files_named(code: types.CodeType) -> Iterator[str]:
    """The file that the code, and all code in it, says it comes from."""
    yield code.co_filename
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from files_named(constant)


def imported_from_source(lines: str) -> list[str]:
    """Our modules that `-v` says were compiled rather than loaded from bytecode."""
    return re.findall(r"^# code object from '?(\S+/tailrace/\S+\.py)'?$", lines, re.MULTILINE)


class TestContent:
    """What lies where."""

    def test_stub_layer_holds_modules_bytecode_launcher_and_licences(self, stub_zip: Path) -> None:
        """Whatever else lies in the source tree stays there."""
        assert names(stub_zip) == [
            "extensions/tailrace",
            "tailrace/LICENSES",
            "tailrace/collector/__init__.py",
            f"tailrace/{TAG}.bundle",
            "tailrace/lifecycle/__init__.py",
            "tailrace/lifecycle/__main__.py",
            "tailrace/lifecycle/finder.py",
            "tailrace/shipper/__init__.py",
            "tailrace/shipper/destinations/__init__.py",
            "tailrace/wrap",
        ]

    def test_only_the_launcher_and_the_wrapper_are_executable(self, real_zip: Path) -> None:
        """Lambda starts every executable file in /opt/extensions, where only the launcher lies."""
        with zipfile.ZipFile(real_zip) as packed:
            modes = {entry.filename: stat.S_IMODE(entry.external_attr >> 16) for entry in packed.infolist()}
        assert modes.pop("extensions/tailrace") == modes.pop("tailrace/wrap") == 0o755
        assert set(modes.values()) == {0o644}

    def test_nothing_lies_where_the_function_would_find_it(self, real_zip: Path) -> None:
        """/opt/python and /opt/lib are on the function's own paths."""
        folders = {tuple(name.split("/")[:2]) for name in names(real_zip)}
        assert folders == {
            ("extensions", "tailrace"),
            ("tailrace", "LICENSES"),
            ("tailrace", "wrap"),
            *(("tailrace", package) for package in (*layer.PACKAGES, *VENDORED)),
            ("tailrace", f"{TAG}.bundle"),
            *((("tailrace", "typing_extensions.py"),) * (sys.version_info < (3, 11))),
        }

    def test_only_modules_and_bytecode_are_carried(self, real_zip: Path) -> None:
        """No tests, no stubs, no metadata; every module that an environment may load has its bytecode."""
        modules = {name for name in names(real_zip) if name.endswith(".py")}
        compiled = {name for name in names(real_zip) if name.endswith(".so")}
        assert len(modules) + len(compiled) + len(("bundle", "launcher", "wrapper", "licences")) == len(names(real_zip))
        for_people = {f"tailrace/{module}" for module in FOR_PEOPLE}
        assert for_people < modules
        sources = {module_of(name) for name in modules - for_people}
        assert sources == codes(content(real_zip, f"tailrace/{TAG}.bundle")).keys()
        assert {name.split(".", 1)[1] for name in compiled} == {
            f"cpython-{sys.version_info[0]}{sys.version_info[1]}-{Target.running().architecture}-linux-gnu.so"
        }
        assert not [name for name in modules if "test" in name and "testing" not in name]

    def test_size_is_held(self, real_zip: Path, universal_zip: Path) -> None:
        """1.5 MB for one Python and one architecture, 6 MB for all of them."""
        assert real_zip.stat().st_size <= build_layer.MOST_BYTES_OF_ONE == 1_500_000
        assert universal_zip.stat().st_size <= build_layer.MOST_BYTES == 6_000_000

    def test_every_carried_package_has_its_licence(self, real_zip: Path) -> None:
        """All in one file, ours first."""
        with zipfile.ZipFile(real_zip) as packed:
            text = packed.read("tailrace/LICENSES").decode()
        packages = re.findall(r"^(\w+)[ \d.]*: [\w/-]*(?:LICENSE|NOTICE)", text, re.MULTILINE)
        assert packages[0] == "tailrace"
        assert set(packages) == {"tailrace", *VENDORED}
        assert "Version 2.0, January 2004" in text

    def test_same_licence_text_stands_once(self) -> None:
        """Two packages under the same text share it."""
        text = layer.licences_text(Licence(package, "LICENSE", "Do as you like.\n") for package in ("one 1", "two 2"))
        assert text.count("Do as you like.") == 1
        assert "one 1: LICENSE\ntwo 2: LICENSE\n" in text


class TestBytecode:
    """Compiled ahead, valid on a read-only tree, without a trace of the machine that built it."""

    @pytest.mark.parametrize("version", [version for version in VERSIONS if version >= COLUMNS_SINCE], ids=dotted)
    @pytest.mark.optional
    def test_it_tells_lines_and_no_columns(self, universal_zip: Path, version: Version) -> None:
        """The tables would take over a megabyte in three processes, and are for a traceback's carets alone."""
        interpreter = pythons.found(version)
        if interpreter is None:
            pytest.skip(f"no Python {dotted(version)} on this machine")
        done = run([interpreter, "-IS", "-c", POSITIONS, universal_zip, contents.bundle_of(version)])
        counts = dict(zip(("files", "lines", "columns"), map(int, done.stdout.split()), strict=True))
        modules = [name for name in names(universal_zip) if name.endswith(".py")]
        assert counts["files"] == len(modules) - len(FOR_PEOPLE)
        assert counts["lines"] > 10_000
        assert counts["columns"] == 0

    def test_it_names_the_place_it_runs_in(self, real_zip: Path) -> None:
        """Tracebacks read /opt/tailrace/…, and an import has nothing to rename."""
        compiled = codes(content(real_zip, f"tailrace/{TAG}.bundle"))
        for name in names(real_zip):
            if name.endswith(".py") and (code := compiled.get(module_of(name))):
                assert set(files_named(code)) == {f"/opt/{name}"}

    def test_nothing_names_the_machine(self, real_zip: Path) -> None:
        """No path of this checkout, nor of the interpreter that compiled it."""
        with zipfile.ZipFile(real_zip) as packed:
            content = b"".join(packed.read(name) for name in packed.namelist() if not name.endswith(".so"))
        for path in (ROOT, Path(sys.prefix), real_interpreter(), Path.home()):
            assert os.fsencode(path) + b"/" not in content

    @pytest.mark.parametrize("module", [*VENDORED, "lifecycle.__main__"])
    def test_no_import_compiles_or_writes(self, real_layer: Path, module: str) -> None:
        """Each package is imported from bytecode alone, in a tree that cannot be written to."""
        before = sorted(real_layer.rglob("*"))
        program = f"{BESIDE}{LEAN}; import {module}"
        done = run([real_interpreter(), "-ISv", "-c", program, real_layer / "tailrace"])
        assert re.search(rf"tailrace/{TAG}\.bundle matches \S+/tailrace/{module.partition('.')[0]}/", done.stderr)
        assert imported_from_source(done.stderr) == []
        assert "# wrote" not in done.stderr
        assert sorted(real_layer.rglob("*")) == before

    def test_check_for_sources_would_see_one(self, real_layer: Path, tmp_path: Path) -> None:
        """Without a bundle a module is reported by the check above."""
        shutil.copytree(real_layer / "tailrace", tmp_path / "tailrace", ignore=shutil.ignore_patterns("*.bundle"))
        done = run([real_interpreter(), "-ISBv", "-c", f"{BESIDE}{LEAN}", tmp_path / "tailrace"])
        assert any("/tenacity/" in name for name in imported_from_source(done.stderr))

    def test_every_carried_module_can_be_imported(self, real_layer: Path) -> None:
        """Nothing that was left out is missed by what was kept."""
        library = real_layer / "tailrace"
        modules = [
            ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
            for package in VENDORED
            for path in sorted((library / package).rglob("*.py"))
        ]
        imports = [f"import {module}" for module in modules]
        run([real_interpreter(), "-IS", "-c", "; ".join([f"{BESIDE}{LEAN}", *imports]), library])

    def test_every_carried_module_is_imported(self, real_layer: Path) -> None:
        """By those who import the packages as we do: nothing is carried that only lies there."""
        library = real_layer / "tailrace"
        wanted = "msgspec.json, msgspec.msgpack, tenacity, zlib_ng"
        program = f"{BESIDE}{LEAN}; import {wanted}; print(*sys.modules)"
        imported = set(run([real_interpreter(), "-IS", "-c", program, library]).stdout.split())
        for package in VENDORED:
            for path in (library / package).rglob("*.py"):
                name = ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
                assert name in imported


class TestReproducible:
    """The same sources give the same bytes."""

    def test_builds_from_two_checkouts_are_identical(self, tmp_path: Path) -> None:
        """Neither the place, nor times, nor the hash seed, nor a stray file leaves a trace."""
        zips = []
        for place in ("one", "some/where/else"):
            source = write_source(tmp_path / place)
            output = tmp_path / place / "out.zip"
            layer.build(layer.Plan(source, (Target.running(),)), output)
            zips.append(output.read_bytes())
        assert zips[0] == zips[1]

    def test_project_built_twice_is_identical(self, universal_zip: Path, tmp_path: Path) -> None:
        """For every Python: from a copy of the checkout, with another hash seed, umask, time zone and locale."""
        checkout = tmp_path / "a place" / "with ü in it"
        for name in (*layer.PACKAGES, "tools"):
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in checkout.rglob("*"):
            os.utime(path, (0, 0))
        for name in ("LICENSE", "requirements-layer.txt"):
            shutil.copyfile(ROOT / name, checkout / name)
        if pythons.FETCHED.exists():
            (checkout / "build").mkdir()
            (checkout / "build/pythons").symlink_to(pythons.FETCHED)
        command = [sys.executable, "-m", "tools.build_layer", "--output", "again.zip"]
        command += ["--cache", str(ROOT / "build/wheels")]
        environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYENV_ROOT"}}
        environment |= {"PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path), "TZ": "Pacific/Kiritimati", "LC_ALL": "POSIX"}
        subprocess.run(command, cwd=checkout, env=environment, check=True, umask=0o077, capture_output=True)
        assert (checkout / "again.zip").read_bytes() == universal_zip.read_bytes()
        assert (checkout / "again.cdx.json").read_bytes() == universal_zip.with_suffix(".cdx.json").read_bytes()


class TestLauncher:
    """`extensions/tailrace`."""

    def test_first_line_names_lambdas_python_unless_told_otherwise(self, real_zip: Path) -> None:
        """Isolated and without `site`, in the one argument that the kernel passes on."""
        with zipfile.ZipFile(real_zip) as packed:
            assert packed.read("extensions/tailrace").startswith(b"#!/var/lang/bin/python3 -IS\n")
        assert layer.launcher_text("/usr/bin/python3").startswith("#!/usr/bin/python3 -IS\n")

    @pytest.mark.parametrize("interpreter", ["python3", "/a b/python3", "", "/" + 300 * "p"])
    def test_interpreter_the_kernel_could_not_start_is_refused(self, interpreter: str) -> None:
        """Better no layer than one that fails every function it is attached to."""
        with pytest.raises(layer.LayerError, match="expected"):
            layer.first_line(interpreter)

    def test_it_imports_nothing_but_what_the_interpreter_has_and_the_entry(self) -> None:
        """Every import is paid for at every cold start."""
        tree = ast.parse(layer.launcher_text("/python"))
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imports.pop() == "from lifecycle.__main__ import main"
        program = f"import sys; before = {{*sys.modules}}; {'; '.join(imports)}; print(before ^ {{*sys.modules}})"
        assert run([real_interpreter(), "-IS", "-c", program]).stdout == "set()\n"

    def test_it_reads_the_head_as_it_is_written(self) -> None:
        """Before it has the module that knows."""
        text = layer.launcher_text("/python")
        assert f"pread(file, {finder.HEAD_BYTES}, 0)" in text
        assert f"loads(head[{len(MAGIC_NUMBER)}:])" in text

    def test_without_a_bundle_of_its_python_it_starts_all_the_same(self, stub_layer: Path, tmp_path: Path) -> None:
        """From the sources; of a bundle that another one has made nothing is loaded."""
        shutil.copytree(stub_layer, tmp_path / "copy")
        for path in (tmp_path / "copy").rglob("*"):
            path.chmod(0o755)
        bundle = tmp_path / "copy" / "tailrace" / f"{TAG}.bundle"
        data = bundle.read_bytes()
        bundle.unlink()
        told = run([tmp_path / "copy/extensions/tailrace"]).stdout
        bundle.write_bytes(bytes(4) + data[4:])
        assert run([tmp_path / "copy/extensions/tailrace"]).stdout == told
        assert told.startswith("tailrace told 1 1 ")

    def test_started_by_the_kernel_it_calls_the_entry_with_its_name(self, stub_layer: Path) -> None:
        """As Lambda starts it."""
        done = run([stub_layer / "extensions" / "tailrace"])
        assert done.stdout == f"tailrace told 1 1 {stub_layer}/tailrace/lifecycle/__main__.py\n"

    @pytest.mark.parametrize(
        ("cwd", "script"),
        [
            (".", "extensions/tailrace"),
            ("extensions", "tailrace"),
            ("extensions", "./tailrace"),
            ("tailrace/lifecycle", "../../extensions/tailrace"),
        ],
    )
    def test_started_with_an_interpreter_it_works_from_anywhere(self, stub_layer: Path, cwd: str, script: str) -> None:
        """As a person starts it."""
        done = run([real_interpreter(), "-IS", script], cwd=stub_layer / cwd)
        assert done.stdout.startswith("tailrace told 1 1 ")

    def test_unpacked_for_this_machine_it_names_the_interpreter_at_hand(self, real_zip: Path, tmp_path: Path) -> None:
        """Everything else is as in the zip."""
        layer.unpack(real_zip, tmp_path / "layer", str(real_interpreter()))
        launcher = tmp_path / "layer" / "extensions" / "tailrace"
        assert launcher.read_text(encoding="utf-8") == layer.launcher_text(str(real_interpreter()))
        assert os.access(launcher, os.X_OK)
        assert len(names(real_zip)) == len([path for path in (tmp_path / "layer").rglob("*") if path.is_file()])

    def test_without_a_platform_it_says_so_and_ends(self, real_layer: Path) -> None:
        """Started by hand there is nothing to register with."""
        done = subprocess.run(
            [real_interpreter(), "-IS", real_layer / "extensions" / "tailrace"],
            env={},
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 1
        assert "not registered with the Lambda platform" in done.stderr
        assert "Traceback" not in done.stderr


class TestVersions:
    """One tree for several Pythons. What it does on each is test_every_python's."""

    def test_bytecode_of_every_python_at_hand_lies_side_by_side(self, universal_zip: Path) -> None:
        """And compiled modules of all of them, at hand or not."""
        bundles = {name for name in names(universal_zip) if name.endswith(".bundle")}
        assert bundles == {contents.bundle_of(version) for version in VERSIONS if pythons.found(version)}
        assert f"tailrace/{TAG}.bundle" in bundles

    def test_version_without_an_interpreter_is_named_and_has_no_bytecode(self, tmp_path: Path) -> None:
        """Its modules work, and compile at cold start."""
        targets = (Target.running(), Target((3, 99), "x86_64", None))
        plan = layer.Plan(write_source(tmp_path / "source"), targets)
        assert plan.missing == [(3, 99)]
        layer.build(plan, tmp_path / "out.zip")
        bundles = [name for name in names(tmp_path / "out.zip") if name.endswith(".bundle")]
        assert bundles == [f"tailrace/{TAG}.bundle"]

    def test_shim_is_carried_for_python_3_10_only(self, tmp_path: Path) -> None:
        """Where msgspec finds typing_extensions, it imports it."""
        requirements = tmp_path / "requirements.txt"
        requirements.write_text("", encoding="utf-8")
        for version, expected in (((3, 10), True), ((3, 11), False)):
            library = tmp_path / str(version[1])
            library.mkdir()
            target = Target(version, ARCHITECTURES[0], real_interpreter())
            cached = tmp_path / "cache" / f"e3b0c44298fc-{target.name}"
            cached.mkdir(parents=True)
            layer.vendor(layer.Plan(tmp_path, (target,), "", requirements, tmp_path / "cache"), library)
            assert (library / "typing_extensions.py").exists() is expected


def test_source_without_our_packages_is_refused(tmp_path: Path) -> None:
    """The builder says what it missed."""
    with pytest.raises(layer.LayerError, match=r"no module in .*lifecycle"):
        layer.build(layer.Plan(tmp_path, (Target.running(),)), tmp_path / "x.zip")


def test_module_that_does_not_compile_is_named(tmp_path: Path) -> None:
    """The builder passes on what the compiler said."""
    source = write_source(tmp_path / "source")
    (source / "shipper" / "broken.py").write_text("def (:\n", encoding="utf-8")
    with pytest.raises(layer.LayerError, match=r"could not compile(?s:.*)broken\.py"):
        layer.build(layer.Plan(source, (Target.running(),)), tmp_path / "x.zip")


def test_environment_runs_what_the_layer_carries() -> None:
    """The tests' own packages are of the versions that are pinned for the layer."""
    from importlib.metadata import version

    pins = re.findall(r"^([\w-]+)==(\S+) ", (ROOT / "requirements-layer.txt").read_text(), re.MULTILINE)
    assert [name.replace("-", "_") for name, _ in pins] == list(VENDORED)
    assert pins == [(name, version(name)) for name, _ in pins]
