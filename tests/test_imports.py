"""Imports run one way, and there are no circles: read from the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lifecycle", "collector", "shipper")
# Who in lifecycle names a worker. `check` is a program for people, not part of the extension: it asks the shipper's
# own code where telemetry would go, rather than knowing it a second time.
NAMES_A_WORKER = {("lifecycle.workers", "collector"), ("lifecycle.workers", "shipper"), ("lifecycle.check", "shipper")}


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Our own modules that a module imports, early or late."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        else:
            continue
        yield from {candidate for candidate in candidates if candidate in MODULES} - set(PACKAGES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_workers_import_only_the_contract_and_the_supervisor_no_worker(name: str) -> None:
    """A worker knows the contract; workers.py and check.py name workers."""
    package = name.partition(".")[0]
    for imported in imports(name):
        other = imported.partition(".")[0]
        if other == package:
            continue
        if package == "lifecycle":
            assert (name, other) in NAMES_A_WORKER, f"{name} imports {imported}"
        else:
            assert imported.startswith("lifecycle.contract"), f"{name} imports {imported}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No circles."""
    graph = {name: set(imports(name)) for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name not in done:
            for imported in graph[name]:
                visit(imported, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_only_settings_reads_the_environment() -> None:
    """One table is all there is to know; the entry points hand the environment to it."""
    readers = {
        name for name, path in MODULES.items() if "environ" in path.read_text() and "os.environ" in path.read_text()
    }
    assert readers <= {"lifecycle.__main__", "lifecycle.check", "lifecycle.contract.settings"}
