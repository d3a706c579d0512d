"""What a release has, held to its promises: `python -m tools.release check DIRECTORY`, `… publish DIRECTORY`.

`check` looks at the zips that were built and writes the checksums and the notes beside them; `publish` puts all of it
on GitHub, by GitHub's own command line. Neither builds anything.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import contents, sbom
from tools.contents import Contents
from tools.target import ARCHITECTURES, VERSIONS

# The zips by name, and what each is for, in Lambda's names.
UNIVERSAL = "tailrace-layer.zip"
STANDALONE = {"tailrace-standalone-x86_64.zip": "x86_64", "tailrace-standalone-arm64.zip": "arm64"}
ZIPS = (UNIVERSAL, *STANDALONE)

CHECKSUMS = "SHA256SUMS"
NOTES = "NOTES.md"

# The table of ARNs, where layer versions were published.
LAYERS = "LAYERS.md"

UNRELEASED = "Unreleased"

VERIFY = """
## Verify

`sha256sum --check --ignore-missing SHA256SUMS` holds what you downloaded against the checksums, and
`gh attestation verify tailrace-layer.zip --repo OWNER/REPOSITORY` shows which workflow built it, from which commit. The
bill of materials of each zip lies beside it (CycloneDX).
"""


class ReleaseError(Exception):
    """This is no release; the text says why."""


def check(directory: Path, changelog: str, tag: str) -> None:
    """Looks at what was built, and writes checksums and notes.

    Args:
        directory: Holds the zips and their bills of materials.
        changelog: The text of CHANGELOG.md.
        tag: v and the version; empty: none is held to it.

    Raises:
        ReleaseError: Something is missing, of another version, or not what its name says.
    """
    found = [read(directory / name) for name in ZIPS]
    versions = sorted({content.version for content in found})
    if len(versions) > 1:
        raise ReleaseError(f"got zips of the versions {' and '.join(versions)}, expected one")
    (version,) = versions
    if tag and tag != f"v{version}":
        raise ReleaseError(f"got the tag {tag}, expected v{version}, which is what the zips say they are")
    text = section(changelog, version if tag else UNRELEASED)
    (directory / NOTES).write_text(f"{text}\n{VERIFY}", encoding="utf-8")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files(directory)]
    (directory / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    for content in found:
        print(content.described)


def read(path: Path) -> Contents:
    """A zip, if it is what its name says.

    Raises:
        ReleaseError: It is not.
    """
    try:
        content = contents.read(path)
    except contents.ContentsError as error:
        raise ReleaseError(str(error)) from error
    if path.name == UNIVERSAL:
        pythons, architectures = VERSIONS, tuple(contents.ARCHITECTURES[name] for name in ARCHITECTURES)
    else:
        pythons, architectures = content.pythons[-1:], (STANDALONE[path.name],)
    got = content.pythons, content.architectures, content.brings_python
    if got != (pythons, architectures, path.name != UNIVERSAL):
        raise ReleaseError(f"{path} is for {content.runs_on}, which is not what its name says")
    if content.lack:
        raise ReleaseError(f"{path} has {content.lack}")
    if not sbom.beside(path).exists():
        raise ReleaseError(f"{path} has no bill of materials beside it")
    return content


def files(directory: Path) -> list[Path]:
    """What people download: zips and bills of materials."""
    return [path for name in ZIPS for path in (directory / name, sbom.beside(directory / name))]


def section(changelog: str, title: str) -> str:
    """What the changelog says of a version.

    Raises:
        ReleaseError: Nothing.
    """
    found = re.search(rf"^## {re.escape(title)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md says nothing of {title}")
    return found[1].strip()


def publish(directory: Path, tag: str) -> None:
    """Puts everything on GitHub.

    Raises:
        ReleaseError: There is no tag, something is missing, or GitHub's command line failed.
    """
    if not tag:
        raise ReleaseError("no tag is named: TAG=v1.2.3")
    notes = directory / NOTES
    if not notes.exists():
        raise ReleaseError(f"there is no {notes}. First: make release")
    text, layers = notes.read_text(encoding="utf-8"), directory / LAYERS
    if layers.exists():
        text += f"\n## Layers\n\n{layers.read_text(encoding='utf-8')}"
    upload = [*files(directory), directory / CHECKSUMS, *([layers] if layers.exists() else [])]
    command = ["gh", "release", "create", tag, "--verify-tag", "--title", tag, "--notes-file", "-", *map(str, upload)]
    try:
        done = subprocess.run(command, input=text, text=True, check=False)  # noqa: S603 - GitHub's, on our own files
    except OSError as error:
        raise ReleaseError(f"gh, GitHub's command line: {error.strerror}") from error
    if done.returncode:
        raise ReleaseError(f"gh release create: status {done.returncode}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Checks or publishes a release.")
    parser.add_argument("step", choices=("check", "publish"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tag", default="", help="v and the version")
    parser.add_argument("--changelog", type=Path, default=Path("CHANGELOG.md"))
    asked = parser.parse_args(arguments)
    try:
        if asked.step == "check":
            check(asked.directory, asked.changelog.read_text(encoding="utf-8"), asked.tag)
        else:
            publish(asked.directory, asked.tag)
    except ReleaseError as error:
        print(f"tools.release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
