"""``mosaic-deploy`` as a program, for tests that run it or scripts that call it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = [sys.executable, "-m", "mosaic_deploy"]
GIT = shutil.which("git")


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of ``mosaic-deploy``."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def path_with_program(folder: Path) -> str:
    """A ``PATH`` that starts with a folder in which ``mosaic-deploy`` is."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "mosaic-deploy"
    program.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class GitRepository:
    """A repository made by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        """Run git in it; returns what it printed."""
        settings = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        assert GIT is not None
        done = subprocess.run(
            [GIT, *settings, *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def commit(self) -> str:
        """Commit everything; returns the commit's name."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD").strip()
