"""Compilers that can be probed, one file each, and what each must be able to do."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toml import nearest

COMPILERS: Mapping[str, str] = {
    "qnn-htp": "mosaic_deploy.backends.qnn.oracle",
    "litert-xnnpack": "mosaic_deploy.backends.litert.oracle.xnnpack",
    "litert-gpu": "mosaic_deploy.backends.litert.oracle.gpu",
    "openvino-cpu": "mosaic_deploy.backends.openvino.oracle",
    "ort-mobile": "mosaic_deploy.backends.ort.oracle",
}
"""Op tables whose compiler can be run, and the module that runs it."""


class Compiler(Protocol):
    """A module here. ``begin`` and ``attempt`` run in a child process only."""

    PRECISIONS: tuple[Precision, ...]
    """What a grid is tried at: ``float`` always, and what the backend quantises to."""
    SECONDS: float
    """Longest that one case may take on all devices; then the child is killed and the case fails."""
    MEMORY_BYTES: int
    """Most that the child may take."""

    def devices(self, *, everywhere: bool) -> tuple[str, ...]:
        """Devices to try a case on: all that the table names, or those enough for a random case."""

    TOOLCHAIN: str
    """Name of the toolchain that its child processes run in."""

    def missing(self) -> str:
        """What has to be installed, as a line to run, or empty."""

    def version(self) -> str:
        """As the table's ``version`` says it."""

    def environment(self) -> Mapping[str, str]:
        """Variables that the child needs."""

    def begin(self) -> None:
        """Import and set up what all cases share."""

    def attempt(
        self,
        name: str,
        model: bytes,
        feeds: Mapping[str, NDArray[Any]],
        precision: Precision,
        devices: tuple[str, ...],
        scratch: Path,
    ) -> tuple[CaseOutcome, ...]:
        """Quantise as the backend does, compile, run, compare; one outcome per device.

        Whatever the tool raises is an outcome. The tool may also crash or hang here: whoever called notices.
        """


def module_of(table: str) -> str:
    """Full name of the module that runs a table's compiler; raises ``UsageError`` where none does."""
    if table not in COMPILERS:
        known = ", ".join(COMPILERS)
        raise UsageError(f"no compiler can be run for '{table}'{nearest(table, COMPILERS)}; known: {known}")
    return COMPILERS[table]


def load_compiler(table: str) -> Compiler:
    """Find the compiler of an op table; raises ``UsageError`` for a table that has none here."""
    module: Any = importlib.import_module(module_of(table))
    compiler: Compiler = module
    return compiler
