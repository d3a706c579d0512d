"""The command line that builds a layer: `python -m tools.build_layer`."""

import argparse
import sys
import time
from pathlib import Path

from tools import contents, layer, pythons, sbom, wheels
from tools.target import TargetError, dotted, read_architectures, read_versions, real_interpreter

# Promised: Lambda fetches the layer at every cold start of a new host.
MOST_BYTES = 6_000_000
MOST_BYTES_OF_ONE = 1_500_000


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_layer", description="Builds the layer.")
    parser.add_argument("--source", type=Path, default=Path(), help="directory of our packages")
    parser.add_argument("--requirements", type=Path, default=Path("requirements-layer.txt"))
    parser.add_argument("--cache", type=Path, default=Path("build/wheels"), help="where wheels are kept")
    parser.add_argument("--output", type=Path, default=Path("build/tailrace-layer.zip"))
    parser.add_argument("--interpreter", default=layer.LAMBDA_INTERPRETER, help="what the launcher names")
    parser.add_argument("--pythons", default="", help="versions, such as 3.12,3.13; all that Lambda has if empty")
    parser.add_argument("--archs", default="", help="x86_64, aarch64 or both; both if empty")
    parser.add_argument("--strict", action="store_true", help="fail where an interpreter to compile with is missing")
    parser.add_argument("--describe", action="store_true", help="only say what the zip is for, and what it lacks")
    parser.add_argument(
        "--unpack", type=Path, metavar="DIRECTORY", help="only unpack the zip there, to run on this machine"
    )
    return parser.parse_args()


def main() -> None:
    """Builds the layer for the Pythons and architectures asked for, or unpacks it."""
    asked = arguments()
    if asked.unpack:
        layer.unpack(asked.output, asked.unpack, str(real_interpreter()))
        return
    if asked.describe:
        print(contents.read(asked.output).described)
        return
    started_s = time.monotonic()
    try:
        versions, architectures = read_versions(asked.pythons), read_architectures(asked.archs)
        targets = pythons.targets(versions, architectures)
        plan = layer.Plan(asked.source, targets, asked.interpreter, asked.requirements, asked.cache)
        names = " ".join(map(dotted, versions))
        print(f"Building {asked.output} for Python {names} on {' and '.join(architectures)} …", flush=True)
        say_missing(plan, strict=asked.strict)
        layer.build(plan, asked.output)
        size_bytes = held(asked.output, limit_bytes=MOST_BYTES_OF_ONE if len(targets) == 1 else MOST_BYTES)
    except (TargetError, layer.LayerError, wheels.WheelError) as error:
        sys.exit(f"tools.build_layer: {error}")
    print(f"Built {asked.output}: {size_bytes:,} bytes, in {time.monotonic() - started_s:.1f} s")
    print(f"Its bill of materials: {sbom.beside(asked.output)}")


def say_missing(plan: layer.Plan, *, strict: bool) -> None:
    """Says which versions will have no bytecode.

    Raises:
        layer.LayerError: There are some, and that is not allowed.
    """
    if not plan.missing:
        return
    names = ", ".join(map(dotted, plan.missing))
    text = f"no interpreter for Python {names}, so that there is no bytecode of it: {contents.COST}"
    if strict:
        raise layer.LayerError(text)
    print(f"Warning: {text}.", file=sys.stderr)


def held(output: Path, limit_bytes: int) -> int:
    """The size of the zip.

    Raises:
        layer.LayerError: It is larger than promised.
    """
    size_bytes = output.stat().st_size
    if size_bytes > limit_bytes:
        raise layer.LayerError(f"{output} has {size_bytes:,} bytes, expected no more than {limit_bytes:,}")
    return size_bytes


if __name__ == "__main__":
    main()
