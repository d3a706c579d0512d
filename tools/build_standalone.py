"""The command line that builds a layer which brings its own Python: `python -m tools.build_standalone`."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tools import archive, layer, sbom, standalone, wheels
from tools.target import TargetError, dotted, read_architectures

# Lambda unpacks all layers and the function into at most this.
MOST_UNPACKED_BYTES = 262_144_000


def build(taken: standalone.Distribution, plan: layer.Plan, output: Path) -> int:
    """Builds the zip, and beside it the bill of materials.

    Args:
        taken: The interpreter to bring.
        plan: What else from; launcher and packages are those of any layer.
        output: Where to.

    Returns:
        Bytes of all files when unpacked.

    Raises:
        layer.LayerError: The plan cannot be carried out.
        standalone.StandaloneError: The interpreter cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="tailrace-standalone-") as scratch:
        root = Path(scratch)
        carried = layer.furnish(plan, root)
        licence = wheels.Licence(f"CPython {dotted(taken.version)}", "LICENSE", standalone.add(taken, root))
        with (root / layer.LIBRARY / "LICENSES").open("a", encoding="utf-8") as file:
            file.write("\n" + layer.licences_text([licence]))
        archive.write(root, output, is_executable=(layer.LAUNCHER, layer.WRAPPER, standalone.PROGRAM).__contains__)
        unpacked_bytes = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    sbom.write(carried.wheels, plan.targets, output, bundled=dotted(taken.version))
    return unpacked_bytes


def main() -> None:
    """Builds what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_standalone", description="Builds the standalone layer."
    )
    parser.add_argument("--output", type=Path, default=Path("build/tailrace-standalone.zip"))
    parser.add_argument("--archs", default="", help="x86_64 or aarch64; if empty, x86_64 or what is named")
    parser.add_argument("--python-dist", default="", help="tree or archive of a relocatable CPython; else fetched")
    parser.add_argument("--source", type=Path, default=Path(), help="directory of our packages")
    parser.add_argument("--requirements", type=Path, default=Path("requirements-layer.txt"))
    parser.add_argument("--cache", type=Path, default=Path("build"), help="where wheels and interpreters are kept")
    asked = parser.parse_args()
    started_s = time.monotonic()
    try:
        architectures = read_architectures(asked.archs or "x86_64")
        if len(architectures) > 1:
            raise TargetError("got two architectures, expected one: a zip brings one interpreter")  # noqa: TRY301
        with standalone.distribution(asked.python_dist, architectures[0], asked.cache / "pythons") as taken:
            if asked.archs and taken.architecture not in architectures:
                raise TargetError(  # noqa: TRY301 - one way out
                    f"got a Python for {taken.architecture}, expected one for {architectures[0]}"
                )
            print(f"Building {asked.output} with CPython {dotted(taken.version)} on {taken.architecture} …", flush=True)
            plan = layer.Plan(
                asked.source, (taken.target,), f"/opt/{standalone.PROGRAM}", asked.requirements, asked.cache / "wheels"
            )
            unpacked_bytes = build(taken, plan, asked.output)
    except (TargetError, layer.LayerError, standalone.StandaloneError, wheels.WheelError) as error:
        sys.exit(f"tools.build_standalone: {error}")
    if unpacked_bytes > MOST_UNPACKED_BYTES:
        sys.exit(f"tools.build_standalone: {unpacked_bytes:,} bytes unpacked, Lambda takes {MOST_UNPACKED_BYTES:,}")
    sizes = f"{asked.output.stat().st_size:,} bytes, {unpacked_bytes:,} unpacked"
    print(f"Built {asked.output}: {sizes}, in {time.monotonic() - started_s:.1f} s")


if __name__ == "__main__":
    main()
