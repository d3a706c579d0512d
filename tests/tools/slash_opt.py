"""A layer where Lambda has it: /opt, read-only, with the interpreter's installation as /var/lang.

Writes an extensions directory for the sandbox whose one program enters a mount namespace of its own and becomes
the layer's launcher there. The files of the layer are the zip's, to the byte.
"""

import os
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

from tools import archive

# /var is built under /mnt, so that the interpreter stays visible meanwhile.
_ENTER = """\
#!/bin/sh
exec {unshare} --mount --propagation=private {sh} -c '
set -e
{mount} -t tmpfs -o mode=755 sandbox /mnt
{mkdir} /mnt/lang
{mount} --bind "$0" /mnt/lang
{mount} -o remount,bind,ro /mnt/lang
{mount} --bind "$1" /opt
{mount} -o remount,bind,ro /opt
{mount} --rbind /mnt /var
shift
exec "$@"
' {prefix} {layer} {command}
"""


def why_not() -> str:
    """Why this machine cannot do it; "" when it can."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "mounting over /opt needs root and the unshare command"
    tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True, text=True)
    return f"no private mount namespace here: {tried.stderr.strip()}" if tried.returncode else ""


def entered(directory: Path, layer: Path, prefix: Path, *command: str) -> Path:
    """Writes the extensions directory.

    Args:
        directory: Where to.
        layer: The unpacked layer; becomes /opt.
        prefix: An interpreter's installation; becomes /var/lang.
        command: What to become there; the launcher, as the kernel starts it, unless given.
    """
    directory.mkdir(parents=True)
    script = directory / "tailrace"
    programs = {name: shlex.quote(shutil.which(name) or name) for name in ("unshare", "sh", "mount", "mkdir")}
    started = shlex.join(command or ("/opt/extensions/tailrace",))
    text = _ENTER.format(prefix=shlex.quote(str(prefix)), layer=shlex.quote(str(layer)), command=started, **programs)
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    return directory


def state(layer: Path) -> dict[str, tuple[int, int]]:
    """Every file's size and time: what a write would change."""
    return {
        path.relative_to(layer).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) for path in layer.rglob("*")
    }


def unpacked(zip_path: Path, directory: Path) -> Path:
    """The layer as Lambda unpacks it: nothing in it is adapted to this machine."""
    archive.unpack(zip_path, directory)
    with zipfile.ZipFile(zip_path) as packed:
        for name in packed.namelist():
            assert (directory / name).read_bytes() == packed.read(name)
    return directory
