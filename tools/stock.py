"""README's commands on a stock machine: `python -m tools.stock`.

Makes a fresh Debian 12 by debootstrap, with what README asks for and nothing else, copies the checkout there and runs
the commands as an ordinary user: no root, 1,024 descriptors, Debian's own Python without its shared library. The
machine is a root directory in namespaces of its own; packages come from wherever this machine gets Debian, and PyPI is
reached as this machine reaches it. Installs nothing here.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.debian import KEYRING, DebianError, run, site

SUITE = "bookworm"

# What README asks for; ca-certificates because nothing is installed from PyPI without them.
PACKAGES = ("make", "python3", "python3-venv", "ca-certificates")

# What README says to type.
COMMANDS = ("make demo", "make test")

USER = "user"
CHECKOUT = f"home/{USER}/tailrace"
RESULTS = "build/tests.xml"

PROGRAMS = ("debootstrap", "unshare", "pivot_root", "setpriv", "prlimit")

# How this machine reaches PyPI, which the other one cannot know by itself.
NETWORK_FILES = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
NETWORK_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")

# Becomes the machine, with its own processes and devices and nothing of this machine's files, and then the user.
# $0: the root directory; the rest: the command. A root entered by chroot could make no namespaces, which a user may.
ENTER = """
set -e
mount --rbind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs -o mode=755 devices dev
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777 shared dev/shm
mount -t devpts -o newinstance,ptmxmode=666 terminals dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
pivot_root . mnt
exec chroot . sh -c '
umount --lazy /mnt
cd "$0"
exec setpriv --reuid 1000 --regid 1000 --init-groups --inh-caps=-all prlimit --nofile=1024:1024 "$@"
' "$CHECKOUT" "$@"
"""


class StockError(Exception):
    """There is no stock machine to be had here; the text says why."""


def require(programs: Sequence[str] = PROGRAMS) -> None:
    """Looks for what the machine is made with.

    Raises:
        StockError: This machine lacks it.
    """
    if os.geteuid():
        raise StockError("making a machine needs root")
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise StockError(f"no {', '.join(missing)} on this machine: apt-get install debootstrap util-linux")
    try:
        run(["unshare", "--mount", "--pid", "--fork", "true"])
    except DebianError as error:
        raise StockError(f"no namespaces here: {error}") from error


def installed(directory: Path) -> Path:
    """The fresh installation, made once.

    Raises:
        DebianError: debootstrap failed, or this machine is no Debian.
    """
    base = directory / SUITE
    if not base.exists():
        print(f"Making a fresh {SUITE} in {base} …", flush=True)
        partial = directory / f"{SUITE}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        options = ["--variant=minbase", f"--include={','.join(PACKAGES)}", f"--keyring={KEYRING}"]
        run(["debootstrap", *options, SUITE, str(partial), site()])
        run(["chroot", str(partial), "useradd", "--create-home", "--uid", "1000", "--shell", "/bin/bash", USER])
        # Fetched once more it would be the same.
        shutil.rmtree(partial / "var/cache/apt/archives")
        partial.replace(base)
    return base


def machine(base: Path, root: Path, source: Path, etc: Path = Path("/")) -> None:
    """Makes a machine of the installation: a copy, with the checkout in its user's home and a way to PyPI.

    Args:
        base: The installation.
        root: The machine's root directory; what was there is gone.
        source: The checkout; of it what git knows or would add.
        etc: Root directory of this machine.
    """
    shutil.rmtree(root, ignore_errors=True)
    run(["cp", "--archive", "--reflink=auto", str(base), str(root)])
    # Whoever the checkout belongs to: nothing of it is run here.
    git = ["git", "-c", "safe.directory=*", "-C", str(source)]
    names = run([*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    for name in filter(None, names.split("\0")):
        if (source / name).is_file():
            copy = root / CHECKOUT / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, copy)
    for name in NETWORK_FILES:
        if (etc / name).exists():
            shutil.copyfile(etc / name, root / name)


def command(root: Path, words: Sequence[str], environ: dict[str, str]) -> list[str]:
    """What enters the machine as its user and runs a command there.

    Args:
        root: The machine's root directory.
        words: The command.
        environ: This machine's environment, of which only the way to PyPI is passed on.
    """
    home = f"/home/{USER}"
    own = {"HOME": home, "USER": USER, "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    own |= {name: environ[name] for name in NETWORK_VARIABLES if name in environ}
    inside = ["env", "-i", *(f"{name}={value}" for name, value in own.items()), *words]
    script = ENTER.replace("$CHECKOUT", f"/{CHECKOUT}")
    namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation=private"]
    return ["unshare", *namespaces, "sh", "-c", script, str(root), *inside]


def ran(results: Path) -> tuple[int, Counter[str]]:
    """How many tests ran, and how many were skipped for which reason.

    Raises:
        StockError: There are no results, or nothing ran.
    """
    try:
        suites = list(ET.parse(results).iter("testsuite"))  # noqa: S314 - pytest wrote it
    except (OSError, ET.ParseError) as error:
        raise StockError(f"pytest left no results: {error}") from error
    skipped = Counter(skip.get("message", "") for suite in suites for skip in suite.iter("skipped"))
    count = sum(int(suite.get("tests", "0")) for suite in suites) - skipped.total()
    if count < 1:
        raise StockError("no test ran")
    return count, skipped


def play(directory: Path, source: Path, commands: Sequence[str]) -> None:
    """Runs each command on a machine made for them all.

    Raises:
        StockError: One of them failed.
        DebianError: The machine could not be made.
    """
    require()
    root = directory / "machine"
    machine(installed(directory), root, source)
    # So that a second run fetches nothing; everything is installed anew all the same.
    cache = directory / "cache"
    cache.mkdir(exist_ok=True)
    shutil.move(cache, root / f"home/{USER}/.cache")
    run(["chown", "--recursive", "1000:1000", str(root / f"home/{USER}")])
    try:
        for line in commands:
            print(f"\n{USER}$ {line}", flush=True)
            status = subprocess.run(  # noqa: S603 - README's command, on a machine of its own
                command(root.resolve(), shlex.split(line), dict(os.environ)), check=False, stdin=subprocess.DEVNULL
            ).returncode
            if status:
                raise StockError(f"{line}: status {status}; what it left is in {root / CHECKOUT}")
    finally:
        shutil.move(root / f"home/{USER}/.cache", cache)
    if any(line.startswith("make test") for line in commands):
        count, skipped = ran(root / CHECKOUT / RESULTS)
        print(f"\nOn a stock {SUITE}, as an ordinary user, {count} tests ran and {skipped.total()} were skipped:")
        for reason, times in skipped.most_common():
            print(f"{times:5}  {reason}")
    shutil.rmtree(root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs as the command line says.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.stock", description="README's commands on a fresh Debian.")
    parser.add_argument("commands", nargs="*", default=COMMANDS, help=f"default: {', '.join(COMMANDS)}")
    parser.add_argument("--directory", type=Path, default=Path("build/stock"), help="where the machine is made")
    asked = parser.parse_args(arguments)
    try:
        play(asked.directory, Path(), asked.commands)
    except (StockError, DebianError) as error:
        print(f"tools.stock: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
