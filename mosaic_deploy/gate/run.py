"""From what a person asked for to the gate's report: models, targets, config and base are found here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import require_free_file
from mosaic_deploy.gate.ask.inquiry import AskTerms, inquire
from mosaic_deploy.gate.baseline import mark_known
from mosaic_deploy.gate.config import ProjectConfig, UnknownNodes, find_config, read_config
from mosaic_deploy.gate.judging import Fixer, find_subject, judge_model
from mosaic_deploy.gate.report import Fixed, GateReport, ModelResult, Verified
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import GatePolicy, GateTarget
from mosaic_deploy.graph.ends.ends import read_deployed
from mosaic_deploy.graph.reader.read import AS_IT_IS, Reading
from mosaic_deploy.specs.metadata import UNTRAINED
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.progress import StageProgress, silent

_ALL = "all"  # as in plan.py, whose imports are too heavy for a check


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What is asked; what is left out is taken from ``mosaic-deploy.toml``."""

    models: tuple[Path, ...] = ()
    targets: tuple[str, ...] = ()
    recipe: str | None = None
    max_fallback_macs: float | None = None
    """Share, in [0, 1]."""
    config: Path | None = None
    """By default the one found in ``folder`` or above it."""
    base: Path | None = None
    """The model's earlier version; or a folder that has it at the same path from the repository's top."""
    folder: Path = Path()
    """Where the person stands."""
    fix_to: Path | None = None
    """File for the fixed model, which is judged in place of the one named; then only one may be named."""
    force: bool = False
    """Whether that file may be replaced."""
    unknown: UnknownNodes | None = None
    """What becomes of nodes that nothing is known of; None leaves it to the config, which leaves it to
    ``fail``."""
    budget: float | None = None
    """Seconds that asking about a model for a target may take."""
    evidence: Path | None = None
    """Folder of what compilers said before; by default one in the user's cache folder."""
    verify: bool = False
    """Whether the targets' compilers are asked too."""
    save: Path | None = None
    """Folder for the smallest parts of a model that a compiler refuses; by default the working folder for
    ``verify``, and one in that of the evidence for what was asked."""
    inputs: tuple[Path, ...] = ()
    """Real inputs for the re-check of what was fixed, ``.npy``."""
    reading: Reading = AS_IT_IS
    """What is said of files that leave their size or output open."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """The request with the config's answers filled in."""

    models: tuple[Path, ...]
    subjects: tuple[GateTarget, ...]
    terms: GatePolicy
    config: Path | None
    base: Path | None
    repository: Repository
    request: GateRequest
    on_progress: StageProgress
    fixer: Fixer | None
    unknown: UnknownNodes | None
    """What becomes of nodes that nothing is known of, as the request or the config says."""

    def known_as(self, model: Path) -> str:
        """The path that waivers know a model by."""
        home = self.config.parent.resolve() if self.config else self.repository.root
        return Repository(home).name(model)

    def base_of(self, model: Path) -> Path | None:
        """The model's earlier version, if there is one."""
        if self.base is None or not self.base.is_dir():
            return self.base
        inside = self.repository.inside(model)
        earlier = self.base / inside if inside is not None else None
        return earlier if earlier is not None and earlier.is_file() else None


def run_gate(
    request: GateRequest,
    *,
    repository: Repository,
    fixer: Fixer | None = None,
    on_progress: StageProgress = silent,
) -> GateReport:
    """Judge every model on every target.

    A model that cannot be read has an error in the report in place of verdicts, so that the others have
    theirs.

    Raises ``UsageError`` (or a child of it) for what is wrong with the request, the config or the base.
    """
    setting = _settle(request, repository, fixer, on_progress)
    waivers = setting.terms.waivers
    models = tuple(_judge(path, setting) for path in setting.models)
    used = {
        id(item.waiver)
        for judged in models
        for verdict in judged.verdicts
        for item in verdict.items
        if item.waiver
    }
    expired = tuple(waiver for waiver in waivers if waiver.expired(setting.terms.today))
    return GateReport(
        models=models,
        config=repository.name(setting.config) if setting.config else "",
        expired=expired,
        idle=tuple(w for w in waivers if w not in expired and id(w) not in used),
        base=str(setting.base or ""),
    )


def _settle(
    request: GateRequest, repository: Repository, fixer: Fixer | None, on_progress: StageProgress
) -> _Setting:
    path = request.config or find_config(request.folder)
    config = read_config(path) if path else ProjectConfig(schema=1)
    models = request.models or (config.find_models(path.parent) if path else ())
    if not models:
        raise UsageError("name an ONNX file, or list models in mosaic-deploy.toml")
    if request.base is not None and not request.base.exists():
        raise UsageError(f"--diff {request.base}: no such file or folder")
    if request.base is not None and len(models) > 1 and not request.base.is_dir():
        raise UsageError(f"--diff {request.base}: one file for {len(models)} models: name a folder of them")
    names = request.targets or config.targets
    if not names:
        known = ", ".join(spec_names(TargetSpec))
        raise UsageError(f"name a target with --target; known: {known}, or all of them: {_ALL}")
    wanted = spec_names(TargetSpec) if _ALL in names else names
    given = (request.max_fallback_macs, config.max_fallback_macs)
    models = tuple(dict.fromkeys(models))
    if request.fix_to is not None and len(models) > 1:
        raise UsageError(f"--fix {request.fix_to}: one file for {len(models)} models; name one model")
    if request.fix_to is not None:
        require_free_file(request.fix_to, force=request.force)
    if request.inputs and request.fix_to is None:
        raise UsageError("--input needs --fix OUT.onnx: it is for verifying rewrites")
    subjects = tuple(find_subject(name, request.recipe) for name in dict.fromkeys(wanted))
    return _Setting(
        models=models,
        subjects=subjects,
        terms=GatePolicy(
            today=datetime.now(UTC).date(),
            waivers=config.waiver,
            max_fallback_macs=next((limit for limit in given if limit is not None), None),
            unknown_fails=(request.unknown or config.unknown) != "warn",
        ),
        config=path,
        base=request.base,
        repository=repository,
        request=request,
        on_progress=on_progress,
        fixer=fixer,
        unknown=request.unknown or config.unknown,
    )


def _judge(path: Path, setting: _Setting) -> ModelResult:
    name = setting.repository.name(path)
    try:
        judged = _judge_one(path, setting)
    except ModelError as err:
        return ModelResult(name, (), str(err))
    earlier = setting.base_of(path)
    if earlier is None:
        return judged
    terms = replace(setting.terms, waivers=())
    try:
        model = read_deployed(earlier, setting.request.reading)
        before = judge_model(model, setting.subjects, path=setting.known_as(earlier), terms=terms)
    except ModelError as err:
        raise UsageError(f"--diff: {err}") from err
    verdicts = tuple(mark_known(v, b.verdict) for v, b in zip(judged.verdicts, before, strict=True))
    return replace(judged, verdicts=verdicts)


def _judge_one(path: Path, setting: _Setting) -> ModelResult:
    """Fix the model, judge it and ask the compilers, as far as each is wanted."""
    name, request, on_progress = setting.repository.name(path), setting.request, setting.on_progress
    known = [subject for subject in setting.subjects if subject.table is not None]
    fixed: tuple[Fixed, ...] = ()
    if request.fix_to is not None:
        from mosaic_deploy.gate.fix.fix_file import fix_file

        fixed = fix_file(
            path,
            request.fix_to,
            known,
            inputs=request.inputs,
            reading=request.reading,
            on_progress=on_progress,
        )
    model = read_deployed(request.fix_to or path, AS_IT_IS if request.fix_to else request.reading)
    answers = judge_model(
        model, setting.subjects, path=setting.known_as(path), terms=setting.terms, fixer=setting.fixer
    )
    terms = AskTerms(setting.unknown, request.budget, request.evidence, request.save)
    verdicts = tuple(
        inquire(answer, subject, terms, on_progress)
        for answer, subject in zip(answers, setting.subjects, strict=True)
    )
    verified: tuple[Verified, ...] = ()
    if request.verify:
        from mosaic_deploy.gate.verify import verify

        verified = tuple(
            verify(answer.model, s, stem=path.stem, save=request.save or Path(), on_progress=on_progress)
            for answer, s in zip(answers, setting.subjects, strict=True)
            if s.table is not None
        )
    untrained = UNTRAINED in ((note.key, note.value) for note in model.metadata_props)
    return ModelResult(name, verdicts, fixed=fixed, verified=verified, untrained=untrained)


def share(text: str | None, option: str) -> float | None:
    """Read ``5%`` or ``0.05``; raises ``UsageError`` for what is no share between 0 and 1."""
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as err:
        raise UsageError(f"{option} {text!r}: not a share such as 5% or 0.05") from err
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text!r}: not between 0 and 1 (or 0% and 100%)")
    return value
