"""What a backend is: the values that pass between a build and a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from mosaic_deploy.specs.fields import Options
from mosaic_deploy.specs.recipe import Method, QuantRecipe
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:  # a check asks for devices alone
    from mosaic_deploy.quantize.mixed import Finer, Mixed
    from mosaic_deploy.specs.contract import Contract

Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True, slots=True)
class WorkDir:
    """Where a tool may work."""

    scratch: Path
    """A folder for whatever must not ship; the caller removes it."""
    logs: Path
    """A folder for the tools' logs, kept in an artifact."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What a backend is asked to build."""

    onnx: Path
    """The checked float graph: static shapes, one input, one output, of the contract's output kind."""
    layout: Layout
    """Order of the axes of the graph's input, which is not always the artifact's."""
    contract: Contract
    """What the artifact is to keep: its layout is that of the files to be made."""
    target: TargetSpec
    recipe: QuantRecipe
    calibration: tuple[Path, ...]
    """One ``.npy`` per calibration image: the artifact's input as ``Contract.prepare`` makes it."""
    description: Mapping[str, object]
    """The facts that also belong inside the files, as JSON, where their format has a place for it; the
    backend adds ``input`` and ``output`` (see ``CompiledModel.facts``) and stores them under
    ``METADATA_KEY``."""
    space: WorkDir
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tensor of ``onnx`` -> smallest and largest value to represent, in place of what the images say."""
    mixed: Mixed | None = None
    """Which activations are in other precisions than the recipe's; None for none."""
    kept_ranges: Path | None = None
    """A folder that keeps calibrated ranges between builds of the same graph and images; None keeps none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a tool did."""

    name: str
    tool: str
    version: str
    seconds: float
    peak_bytes: int
    """Peak resident memory of the child process that did it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an artifact: its path inside the artifact's folder, and what it is."""

    path: str
    kind: str
    ships: bool = False
    """Whether it is a network as a device loads it; where several do, each is a whole one for its device,
    unless they state the same ``part_of``."""
    part_of: str = ""
    """What the files that only together make a network have in common: ``.xml`` and ``.bin``."""


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """What a backend made; all of it can be had again from an artifact's manifest."""

    folder: Path
    files: tuple[File, ...]
    steps: tuple[Step, ...]
    facts: dict[str, object]
    """For the manifest. ``input`` and ``output`` are objects with ``name``, ``shape``, ``dtype`` (as
    stored), ``scale`` and ``zero_point`` (null where it is no integer grid)."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outputs of a built artifact on some inputs."""

    outputs: tuple[Path, ...]
    """One ``.npy`` per input, dequantised to float32 where scores are quantised."""
    steps: tuple[Step, ...]
    facts: dict[str, object]
    """``ran_on``: runtime and device in words. ``precision``: what the arithmetic really was, ``float32``,
    ``int8`` and the like. Where there could be a fallback, ``nodes`` and ``outside``, the names of those
    that ran elsewhere. Where that is another kernel on the same processor, ``fallback``: ``operators``, how
    many of each, ``macs_share`` of all multiply-accumulates, and ``time_share`` of the measured time. Where
    the runtime times its nodes, ``time_shares``: kind of operator -> its share of the time of all."""
    name: str = "main"
    """What the compiled variant is called that gave ``outputs``."""
    others: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """The outputs of further compiled variants, by their names, where they differ from ``outputs``."""
    alike: Mapping[str, str] = field(default_factory=dict)
    """Variants that gave the same bits as another, and that one's name."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What timing an artifact gave."""

    seconds: tuple[float, ...]
    """Wall-clock time of each run after the warm-up, input to output, without reading files; empty on a
    simulator, whose time says nothing of a device's."""
    peak_bytes: int
    """Peak resident memory of the process, weights and runtime included."""
    facts: dict[str, object]
    """``ran_on`` and ``threads``."""
    hot_spots: tuple[tuple[str, float], ...] = ()
    """Of a simulator: node and its share of all cycles, the largest first. Relative, never a latency."""


@dataclass(frozen=True, slots=True)
class TimingConfig:
    """How to time: on one input, in one process."""

    input: Path
    """``.npy``, the artifact's input as ``Contract.prepare`` makes it."""
    warm_up: int
    runs: int
    threads: int


@dataclass(frozen=True, slots=True)
class RankingTerms:
    """How tensors are ranked by what 8 bits of each do."""

    images: tuple[Path, ...]
    """``.npy`` inputs as the contract prepares them, none of which calibrates."""
    shares: tuple[float, ...]
    """Shares of the activations, growing, for which it is predicted what 16 bits of the worst give."""
    blocked: tuple[str, ...] = ()
    """Tensors that must stay in 8 bits."""
    weights: bool = False
    """Whether each weight is measured too."""
    ranked: int | None = None
    """How many of the images tensors are ranked on; what lifts give is predicted on all. None for all."""
    methods: tuple[Method, ...] = ()
    """Of calibration, to be compared in place of tensors."""
    elsewhere: tuple[Path, ...] = ()
    """Inputs of another domain, on which corrected biases are to be tried in place of tensors."""
    labels: tuple[Path, ...] = ()
    """``.npy`` (H, W) class ids of each image, for mIoU; empty where they are not to be had."""
    contract: Contract | None = None
    """What makes class maps of the graph's outputs, where there are labels: in the graph's own layout."""

    def to_json(self) -> JsonObject:
        """The part of a child's request that says it, as ``quantize.sensitivity.rank`` reads it."""
        return {
            "held_out": [str(path.resolve()) for path in self.images],
            "ranked": self.ranked or len(self.images),
            "shares": list(self.shares),
            "blocked": list(self.blocked),
            "weights": self.weights,
            "methods": list(self.methods),
            "elsewhere": [str(path.resolve()) for path in self.elsewhere],
            "labels": [str(path.resolve()) for path in self.labels],
            "contract": None if self.contract is None else self.contract.model_dump(mode="json"),
        }


class Backend(Protocol):
    """A runtime and its compiler."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the command line's options that it understands, ``arch`` say."""

    @property
    def takes_ranges(self) -> bool:
        """Whether ``BuildJob.ranges`` are used."""

    @property
    def toolchain(self) -> str:
        """Name of the toolchain that its child processes run in."""

    def missing(self) -> str | None:
        """Say what cannot be had on this machine and what to do about it, or None."""

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Merge the command line's ``options`` into the target's; raises ``SpecError`` for a wrong one.

        Options are data: nothing is asked of the machine, so that ``check`` answers on any.
        """

    def missing_for(self, options: Options) -> str | None:
        """Say what these options need beyond ``missing`` and this machine lacks, a driver say, or None."""

    def devices(self, options: Options) -> tuple[str, ...]:
        """The devices of the target's op table that these options compile for; none means all of them."""

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel | None:
        """Make the float network in the runtime's own format, in the scratch folder, nothing quantised.

        None where the format is ONNX itself, so that nothing is converted before it is quantised.
        """

    def build(
        self, job: BuildJob, converted: CompiledModel | None, out: Path, *, on_progress: OnProgress
    ) -> CompiledModel:
        """Quantise and compile into the existing folder ``out``.

        Raises:
            ToolError: a tool is missing or failed.
            ModelError, RefusedError: the model cannot be quantised, or the compiler does not take it.
        """

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run a network on ``.npy`` inputs as the contract prepares them, float or compiled.

        Raises ``RefusedError`` where some of it would fall back to another runtime or processor.
        """

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Time a network in one child process."""


@runtime_checkable
class MixedBackend(Backend, Protocol):
    """A backend that keeps single activations more finely than the rest, as ``BuildJob.mixed`` says."""

    def lifts_to(self, target: TargetSpec) -> Finer | None:
        """What it keeps them in; None where ranges are all there is to choose."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """Of calibration, those that it has."""

    @property
    def corrects_biases(self) -> bool:
        """Whether its quantiser corrects biases by itself, so that nothing is left to be tried."""

    def rank(self, job: BuildJob, terms: RankingTerms, *, on_progress: OnProgress) -> Mapping[str, object]:
        """Say what 8 bits of each tensor do to the classes, as ``quantize.sensitivity.rank`` returns it.

        Where ``terms`` names methods, say which is best, as ``quantize.method_trial.compared`` does; where it
        has images of elsewhere, what corrected biases give, as ``quantize.bias_correction.correct`` does.

        Raises ``ModelError`` or ``ToolError`` where the graph cannot be quantised or run.
        """

    def trial(self, job: BuildJob) -> BuildJob:
        """The same build with what decides alone: of variants that compute alike, one."""
