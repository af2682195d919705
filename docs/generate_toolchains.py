"""Pin every package of every toolchain: writes the ``packages`` of ``targets/toolchains/*.toml``.

    uv lock && uv run python docs/generate_toolchains.py [--measure]

With ``--measure`` each is also installed into an empty cache folder, and its size written down.

Versions and hashes come from the project's own lock, so a toolchain made on first use holds what the
development environment holds. Only wheels for Linux on x86-64 are taken; no address is written.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag, sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from mosaic_deploy.specs.toml import read_toml
from mosaic_deploy.specs.toolchain import Toolchain
from mosaic_deploy.workers.environments import make, size_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "targets" / "toolchains"


def closure(locked: Mapping[str, Any], requires: tuple[str, ...]) -> Iterator[str]:
    """Names of everything that the requirements need on this platform, themselves included."""
    waiting = [
        (str(canonicalize_name(r.name)), extra)
        for r in map(Requirement, requires)
        for extra in ("", *r.extras)
    ]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package = locked[name]
        needs = (
            package.get("optional-dependencies", {}).get(extra, [])
            if extra
            else package.get("dependencies", [])
        )
        for need in needs:
            environment = {**{k: str(v) for k, v in default_environment().items()}, "extra": ""}
            if "marker" not in need or Marker(need["marker"]).evaluate(environment):
                waiting += [(need["name"], more) for more in ("", *need.get("extra", ()))]
    return iter(sorted({name for name, _ in seen}))


def wheel(package: Mapping[str, Any], order: Mapping[Tag, int]) -> tuple[str, int]:
    """Hash and size of the wheel that this platform takes."""
    found = []
    for candidate in package["wheels"]:
        _, _, _, tags = parse_wheel_filename(candidate["url"].rpartition("/")[2])
        ranks = [order[tag] for tag in tags if tag in order]
        if ranks:
            found.append((min(ranks), candidate["hash"].removeprefix("sha256:"), int(candidate["size"])))
    _, digest, size = min(found)
    return digest, size


def main() -> None:
    """Rewrite the list at the end of each file; what stands before it is written by hand."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {package["name"]: package for package in lock["package"]}
    order = {tag: rank for rank, tag in enumerate(sys_tags())}
    for path in sorted(FOLDER.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        head = re.split(r"^packages = \[", text, flags=re.MULTILINE)[0].rstrip()
        stated = tomllib.loads(head)
        requires = (*stated["requires"], *stated["host"])
        lines = []
        for name in closure(locked, requires):
            digest, size = wheel(locked[name], order)
            version = locked[name]["version"]
            lines.append(
                f'  {{ name = "{name}", version = "{version}", size = {size}, sha256 = "{digest}" }},'
            )
        path.write_text(f"{head}\npackages = [\n" + "\n".join(lines) + "\n]\n", encoding="utf-8")
        print(path.relative_to(ROOT), len(lines))
        if "--measure" in sys.argv[1:]:
            measure(path)


def measure(path: Path) -> None:
    """Install a toolchain and write its size on disk into its file."""
    with TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        size = size_of(make(read_toml(Toolchain, path).environment()).parents[1])
    text = path.read_text(encoding="utf-8")
    megabytes = -(-size // 10**6)
    path.write_text(re.sub(r"(?m)^installed_mb = .*$", f"installed_mb = {megabytes}", text), encoding="utf-8")
    print(f"  {megabytes} MB installed")


if __name__ == "__main__":
    main()
