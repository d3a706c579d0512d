"""Coverage-guided fuzzing of one target: `make fuzz`, or `python -m tests.fuzz TARGET --seconds 60`.

atheris is looked for in `build/fuzz/site`, where the make target installs it: it is not one of the project's tools.
What crashes is saved in `build/fuzz/TARGET/`; give that file's name behind the target to see it crash again.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

FOLDER = Path("build/fuzz")

# libFuzzer's units; the largest body that atheris makes is far from the limits, which hypothesis visits.
MOST_BYTES = 4096
MOST_RSS_MB = 1024
MOST_SECONDS_EACH = 10


def main() -> None:
    """Fuzzes until the time is over or something crashes; libFuzzer ends the process."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("target")
    arguments.add_argument("again", nargs="?", help="a saved input to run once")
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big") + 1)
    given = arguments.parse_args()
    sys.path.append(str(FOLDER / "site"))
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["collector", "shipper", "lifecycle"], enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets")
    if given.target not in targets.TARGETS:
        arguments.error(f"got target {given.target!r}, expected one of {', '.join(targets.TARGETS)}")
    print(f"fuzzing {given.target} for {given.seconds} s, seed {given.seed}", flush=True)
    crashes = FOLDER / given.target
    corpus = crashes / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets.SEEDS[given.target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={given.seconds}",
        f"-seed={given.seed}",
        f"-artifact_prefix={crashes}/",
        f"-max_len={MOST_BYTES}",
        f"-rss_limit_mb={MOST_RSS_MB}",
        f"-timeout={MOST_SECONDS_EACH}",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, given.again or str(corpus)], targets.TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
