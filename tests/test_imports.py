"""Imports run one way, and there are no circles: read from the syntax trees, late imports and types included."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lifecycle", "collector", "shipper")

# What the modules of a ring may import beside those of the same ring; a ring is named by where its modules begin.
RINGS = {
    "lifecycle.contract": (),
    "lifecycle.machine": ("lifecycle.contract",),
    "collector": ("lifecycle.contract",),
    "shipper": ("lifecycle.contract",),
}
# Who names a worker: whoever forks it, and a program for people, which asks the shipper's own code where telemetry
# would go rather than knowing it a second time.
NAMES_A_WORKER = ("lifecycle.workers", "lifecycle.check")

# Within the shipper: what a stage may import beside itself, `shipper.errors` and the contract. What is not named here,
# the worker and the pipeline among it, may know all of them, and none of them knows it.
STAGES = {
    "shipper.model": (),
    "shipper.parse": ("shipper.model",),
    "shipper.invocations": ("shipper.model", "shipper.parse"),
    "shipper.rules": ("shipper.model", "shipper.parse", "shipper.invocations"),
    "shipper.delivery": ("shipper.model", "shipper.parse", "shipper.invocations", "shipper.rules"),
    "shipper.transport": ("shipper.model",),
    "shipper.auth": (
        *("shipper.model", "shipper.parse", "shipper.transport"),
        *("shipper.delivery.interfaces", "shipper.delivery.outcome", "shipper.delivery.retry"),
    ),
    "shipper.destinations": (
        *("shipper.model", "shipper.parse", "shipper.transport", "shipper.auth"),
        *("shipper.delivery.interfaces", "shipper.delivery.outcome"),
    ),
    "shipper.errors": (),
}


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()
# Importing one of these alone is importing nothing but a docstring.
EMPTY = {name for name, path in MODULES.items() if path.name == "__init__.py"}


@cache
def imports(name: str) -> frozenset[str]:
    """Our own modules that a module imports, early or late."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        else:
            continue
        found |= {candidate for candidate in candidates if candidate in MODULES}
    return frozenset(found - EMPTY)


def lies_in(name: str, *rings: str) -> bool:
    """Whether a module belongs to one of the rings."""
    return any(name == ring or name.startswith(f"{ring}.") for ring in rings)


def within(ring: str) -> list[str]:
    """The modules of a ring, which has some."""
    found = [name for name in MODULES if lies_in(name, ring)]
    assert found, f"{ring} is no more"
    return found


@pytest.mark.parametrize("ring", RINGS)
def test_rings_import_only_what_lies_within(ring: str) -> None:
    """Workers know the contract and never each other; the pure machine knows no socket; the contract only itself."""
    for name in within(ring):
        outside = [imported for imported in imports(name) if not lies_in(imported, ring, *RINGS[ring])]
        assert not outside, f"{name} imports {outside}"


def test_workers_are_named_in_one_place_and_by_the_command_line() -> None:
    """All else of the supervisor knows them as processes with a pipe."""
    for name in within("lifecycle"):
        if name not in NAMES_A_WORKER:
            named = [imported for imported in imports(name) if lies_in(imported, "collector", "shipper")]
            assert not named, f"{name} imports {named}"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_of_the_shipper_run_one_way(stage: str) -> None:
    """What a line means is found without knowing where it goes; how bytes are moved, without knowing what they mean."""
    allowed = (stage, *STAGES[stage], "shipper.errors", "lifecycle.contract")
    for name in within(stage):
        outside = [imported for imported in imports(name) if not lies_in(imported, *allowed)]
        assert not outside, f"{name} imports {outside}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No circles."""
    graph = {name: imports(name) for name in MODULES}
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
    readers = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
                readers.add(name)
    assert readers == {"lifecycle.__main__", "lifecycle.check"}


def test_every_module_is_named_by_a_test() -> None:
    """A unit that no test names is not a unit: one is called after it, or imports it. The entry point is run."""
    named = {"lifecycle.__main__"}
    for path in (ROOT / "tests").rglob("*.py"):
        mirrored = path.relative_to(ROOT / "tests").with_suffix("")
        named.add(".".join((*mirrored.parts[:-1], mirrored.name.removeprefix("test_"))))
        for module, names in re.findall(r"^ *from ([\w.]+) import ([\w, ]*)", path.read_text(), re.MULTILINE):
            named |= {module, *(f"{module}.{name}" for name in re.split(r"[, ]+", names))}
    assert sorted(set(MODULES) - EMPTY - named) == []
