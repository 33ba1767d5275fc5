#!/usr/bin/env python3
"""Builds the image that a job runs in: `make image`.

The wheels are gathered outside, in `wheelhouse/`, and handed to `docker build`, which fetches nothing. Where
the base image is present and `wheelhouse/` is complete (copied from elsewhere, say), no network is needed.
"""
# ruff: noqa: S603, S607 - every command is this script's own, and is found on the PATH on purpose

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docker" / "requirements.txt"
FALLBACK_BASE = "carbon-policy-base:bookworm"
PULL_TIMEOUT_S = 60

# What the image is made of. The content tag is a hash of these, so that a second build ends at once.
FOLDERS = ("docker", "carbon_policy", "flows", "blocks", "deployments")
INPUTS = ("pyproject.toml", "constraints.txt", "prefect.yaml", *FOLDERS)

# Asked of the base image itself: its Python, the wheels it takes and the requirements that apply to it.
# Markers like `python_full_version < '3.11.3'` make these differ from the machine that builds.
PROBE = """
import json, sys
from pip._vendor.packaging import tags
from pip._vendor.packaging.requirements import Requirement
wanted = [Requirement(line) for line in sys.stdin if line.strip() and not line.startswith("#")]
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "platforms": list(tags.platform_tags()),
    "requirements": [f"{r.name}{r.specifier}" for r in wanted if r.marker is None or r.marker.evaluate()],
}))
"""

_started = time.monotonic()


def say(message: str) -> None:
    """Prints a line of progress, with the seconds since the start."""
    print(f"[image {time.monotonic() - _started:5.1f} s] {message}", flush=True)


def fail(message: str) -> SystemExit:
    """What to raise to end with one clear line."""
    return SystemExit(f"[image] error: {message}")


def files(*names: str) -> list[Path]:
    """Every file under these names of the repository, in a fixed order, without what Python leaves behind."""
    found = (path for name in names for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def content_hash(base: str) -> str:
    """A short hash of all that decides what is in the image."""
    digest = hashlib.sha256(base.encode())
    for path in files(*INPUTS):
        data = path.read_bytes()
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def docker(*args: str, stdin: str = "", timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """One docker command whose output is kept."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, input=stdin, timeout=timeout)


def present(image: str) -> bool:
    """Whether the engine has this image."""
    return docker("image", "inspect", image).returncode == 0


def find_base(wanted: str) -> str:
    """The base image to build on: the one asked for, else one made out of Debian packages."""
    if present(wanted):
        return wanted
    say(f"pulling {wanted} (gives up after {PULL_TIMEOUT_S} s)")
    try:
        pull = docker("pull", wanted, timeout=PULL_TIMEOUT_S)
        if pull.returncode == 0:
            return wanted
        reason = pull.stderr.strip().rpartition("\n")[2]
    except subprocess.TimeoutExpired:
        reason = "no answer in time"
    say(f"{wanted} cannot be pulled: {reason}")
    if not present(FALLBACK_BASE):
        if not shutil.which("mmdebstrap"):
            raise fail("no base image: `docker load` one and name it with --base, or install mmdebstrap")
        say(f"making {FALLBACK_BASE} out of Debian packages (about a minute)")
        if subprocess.run([ROOT / "scripts" / "make_base_image.sh", FALLBACK_BASE], check=False).returncode:
            raise fail("the base image could not be made (the message is above)")
    say(f"building on {FALLBACK_BASE} instead")
    return FALLBACK_BASE


def pin(name: str, version: str) -> str:
    """`name==version`, spelled in one way for a requirement and for the file name of its wheel."""
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def gather_wheels(base: str) -> list[Path]:
    """Brings `wheelhouse/` up to what the base image needs, and says which wheels those are."""
    command = ("run", "--rm", "-i", "--network=none", base, "python3", "-c", PROBE)
    probe = docker(*command, stdin=REQUIREMENTS.read_text())
    if probe.returncode:
        raise fail(f"{base} has no python3 with pip and venv:\n{probe.stderr}")
    target = json.loads(probe.stdout)
    folder = ROOT / "wheelhouse" / f"python{target['python']}-{target['platforms'][0]}"
    folder.mkdir(parents=True, exist_ok=True)

    def have() -> dict[str, Path]:
        return {pin(*wheel.name.split("-")[:2]): wheel for wheel in folder.glob("*.whl")}

    wanted = sorted(pin(*line.split("==")) for line in target["requirements"])
    if missing := [name for name in wanted if name not in have()]:
        say(f"downloading {len(missing)} of {len(wanted)} wheels for Python {target['python']}")
        platforms = [arg for tag in target["platforms"] for arg in ("--platform", tag)]
        options = ["--no-deps", "--only-binary=:all:", "--python-version", target["python"], *platforms]
        pip("download", "-d", str(folder), *options, *missing)
    return [have()[name] for name in wanted]


def pip(*args: str) -> None:
    """One pip command; it must succeed."""
    done = subprocess.run([sys.executable, "-m", "pip", *args, "-qq"], cwd=ROOT, check=False)
    if done.returncode:
        raise fail(f"pip {args[0]} failed (its message is above)")


def build_plugin(folder: Path) -> Path:
    """Builds the plugin's own wheel, with a build backend that is kept in `wheelhouse/` too."""
    tools = ROOT / "wheelhouse" / "build"
    if not any(tools.glob("*.whl")):
        requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
        pip("download", "-d", str(tools), "--only-binary=:all:", *requires)
    pip("wheel", "--no-deps", "--no-index", "--find-links", str(tools), "-w", str(folder), ".")
    return next(folder.glob("*.whl"))


def build(base: str, tags: list[str], labels: dict[str, str], wheels: list[Path], plugin: Path) -> None:
    """Runs `docker build`, sending it just the files that it needs: its layer cache goes by them."""
    context = {f"wheelhouse/{wheel.name}": wheel for wheel in wheels}
    context |= {f"plugin/{plugin.name}": plugin}
    context |= {name: ROOT / "docker" / name for name in ("Dockerfile", "requirements.txt")}
    context |= {path.relative_to(ROOT).as_posix(): path for path in files("flows")}
    options = [f"--build-arg=BASE={base}", *(f"--tag={tag}" for tag in tags)]
    options += [f"--label={name}={value}" for name, value in labels.items()]
    process = subprocess.Popen(["docker", "build", *options, "-"], stdin=subprocess.PIPE)
    # A build that ends early says why on its own: the broken pipe is just its echo.
    with suppress(BrokenPipeError), process, tarfile.open(fileobj=process.stdin, mode="w|") as tar:
        for name, path in context.items():
            data = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    if process.returncode:
        raise fail("docker build failed (its message is above)")


def main() -> None:
    """Reads the options, and builds unless there is nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="python:3.11-slim", help="what to build on (%(default)s)")
    parser.add_argument("--image", default="carbon-policy-jobs", help="what to name it (%(default)s)")
    options = parser.parse_args()
    if not shutil.which("docker") or docker("info").returncode:
        raise fail("no Docker engine answers (`docker info` fails): start one, or set DOCKER_HOST")
    content = content_hash(options.base)
    tags = [f"{options.image}:latest", f"{options.image}:{content}"]
    if present(tags[1]):
        docker("tag", tags[1], tags[0])
        say(f"{tags[1]} is up to date")
        return
    base = find_base(options.base)
    wheels = gather_wheels(base)
    with tempfile.TemporaryDirectory() as folder:
        plugin = build_plugin(Path(folder))
        say(f"building {' and '.join(tags)} with {len(wheels)} wheels and {plugin.name}")
        version = plugin.name.split("-")[1]
        labels = {"org.opencontainers.image.version": version, "carbon-policy.content": content}
        build(base, tags, labels, wheels, plugin)
    say(f"{tags[0]} is ready")


if __name__ == "__main__":
    main()
