"""Everything that stops mosaic-deploy, as one tree; each leaf family has its exit code.

    MosaicError
    ├── UsageError      2   the request makes no sense: unknown name, clashing options, an output in the way
    │   ├── SpecError       a card, target, recipe or rule file that breaks its schema
    │   ├── ModelError      an ONNX file or weights that cannot be used
    │   │   └── RefusedError 1  the compiler itself does not take an operator: the op check failing late
    │   └── DataError       images, labels or folders that cannot be used
    └── ToolError       3   a tool is missing, crashed, ran out of time or memory, or the disk is full

A check that fails (ops, parity) is otherwise not an error but a report, and exit code 1.
"""

from __future__ import annotations

from typing import ClassVar


class MosaicError(Exception):
    """The root: one line that says what went wrong, where, and what to do next."""

    exit_code: ClassVar[int] = 2


class UsageError(MosaicError):
    """The request cannot be carried out as it stands."""


class SpecError(UsageError):
    """A TOML file does not say what its schema asks for."""


class ModelError(UsageError):
    """A model file cannot be used."""


class RefusedError(ModelError):
    """The target's compiler does not take an operator that the op table knew nothing against."""

    exit_code: ClassVar[int] = 1


class DataError(UsageError):
    """Images, labels or their folders cannot be used."""


class ToolError(MosaicError):
    """A tool or the machine failed while the request was in order."""

    exit_code: ClassVar[int] = 3
