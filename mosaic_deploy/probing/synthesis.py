"""Op tables out of what was tried: rules that are never broader than their evidence.

results -> points -> boxes (boxes.py) -> rules -> replayed: none may say otherwise than what was found
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.gate.op_support.advice import advice
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.rule_ids import rule_id
from mosaic_deploy.gate.op_support.rules import judge, kind
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable, Outcome
from mosaic_deploy.graph.facts import Node, nodes
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.generalize import merged, shaped
from mosaic_deploy.probing.regions import Point, Region, Tried
from mosaic_deploy.probing.remedies import remedy
from mosaic_deploy.probing.table_text import in_order
from mosaic_deploy.specs.precision import DType, Integers

_UNKNOWN = "no-reference"
_LATER = "\0"
_VERDICTS: frozenset[Outcome] = frozenset(get_args(Outcome))
_TYPES = frozenset((*get_args(DType), *get_args(Integers)))


@dataclass(frozen=True, slots=True)
class Made:
    """A table made from results."""

    table: OpTable
    notes: tuple[str, ...]
    """What was dropped, what no rule can express, and how much stays unknown; one line each."""


def make_table(
    table: OpTable,
    results: Sequence[tuple[Case, tuple[CaseOutcome, ...]]],
    *,
    version: str,
    forms: Mapping[str, Sequence[Form]] = FORMS,
) -> Made:
    """Make the rules of every operator in ``results``; those of others stay.

    Rules that are there stay where all that they decide came out so. New ones are made of cases that those
    leave unknown. Cases of sort ``random`` make no rules, but no new rule says otherwise than they found;
    chains are left out.

    Args:
        table: as it was; empty of rules, all are made.
        results: each case with its outcomes.
        version: of the tool that was tried.
        forms: where the cases' forms are found.
    """
    by_op: dict[str, list[tuple[Case, tuple[CaseOutcome, ...]]]] = defaultdict(list)
    for case, outcomes in sorted(results, key=lambda pair: pair[0].name):
        if case.sort != "chain":
            by_op[case.op].append((case, outcomes))
    rules = [rule for rule in table.rules if rule.domain or rule.op not in by_op]
    everywhere = [rule for rule in rules if rule.op == "*"]
    taken = {rule.id for rule in table.rules}
    notes: list[str] = []
    for op, tried in sorted(by_op.items()):
        old = [rule for rule in table.rules if not rule.domain and rule.op == op]
        work = _Operator(op, table, everywhere, tried, forms.get(op, ()))
        rules += work.rules(old, taken)
        notes += work.notes
    running = [rule for rule in rules if rule.accepts]
    whole = table.model_copy(update={"version": version, "rules": in_order(tuple(rules))})
    advised = tuple(
        rule if rule.fix != _LATER else _advised(rule, running, whole, [case for case, _ in by_op[rule.op]])
        for rule in whole.rules
    )
    made = OpTable.model_validate(whole.model_copy(update={"rules": advised}).model_dump(by_alias=True))
    return Made(made, tuple(notes))


def _advised(rule: OpRule, running: Sequence[OpRule], table: OpTable, cases: Sequence[Case]) -> OpRule:
    """A new refusal with its advice, which needs all that the table accepts."""
    text = remedy(rule, cases, table) or advice(rule, running)
    return rule.model_copy(update={"fix": text})


class _Operator:
    """The making of one operator's rules."""

    def __init__(
        self,
        op: str,
        table: OpTable,
        everywhere: Sequence[OpRule],
        results: Sequence[tuple[Case, tuple[CaseOutcome, ...]]],
        forms: Sequence[Form],
    ) -> None:
        used = {case.form for case, _ in results}
        self.op, self.table, self.everywhere = op, table, list(everywhere)
        self.forms = {form.name: form for form in forms if form.name in used}
        self.discriminators = tuple(
            dict.fromkeys(tell for form in self.forms.values() for tell in form.discriminators)
        )
        # Where nothing may fall back, it is all the same whether a node is left or fails.
        self._refusals: frozenset[Outcome] = (
            frozenset() if table.may_fall_back(op) else frozenset({"falls-back", "fails-to-compile"})
        )
        self.notes: list[str] = []
        self._said = _commonest(self._refusals, results)
        points = [self._point(case, outcomes) for case, outcomes in results]
        self.tried = Tried([point for point in points if point is not None])
        if None in points:
            self.notes.append(f"{op}: {points.count(None)} cases have no input whose type and rank are known")

    def rules(self, old: Sequence[OpRule], taken: set[str]) -> list[OpRule]:
        """The rules that stay, and the new ones, in that order."""
        kept = self._kept(old)
        found: list[tuple[OpRule, str]] = []
        unknown = self._left([*self.everywhere, *kept])
        for form in dict.fromkeys(point.form for point in self.tried.points):
            usual = [p.node.version for p in self.tried.points if (p.form, p.sort) == (form, "grid")]
            others = {p.node.version for p in self.tried.points if (p.form, p.sort) == (form, "version")}
            for version in (*dict.fromkeys(usual), *sorted(others - set(usual))):
                found += [(rule, form) for rule in self._cut(form, version, unknown)]
        new = [(self._counted(rule), form) for rule, form in merged(found, self.table.devices)]
        new = self._replayed(kept, new)
        free = taken - {rule.id for rule in old if rule not in kept}
        free -= {rule.id for rule in kept}
        used = {*free, *(rule.id for rule in kept)}
        named = []
        for rule, form in sorted(new, key=lambda pair: not pair[0].accepts):
            told = form if len(self.forms) > 1 and form != "plain" else ""
            name = rule_id(self.op, told, rule.verdict, used=used)
            used.add(name)
            named.append(rule.model_copy(update={"id": name, "fix": "" if rule.accepts else _LATER}))
        taken |= used
        self._count_unknown([*self.everywhere, *kept, *named])
        return [*(self._counted(rule) for rule in kept), *named]

    # -- what was tried -----------------------------------------------------------------------------

    def _point(self, case: Case, outcomes: Sequence[CaseOutcome]) -> Point | None:
        node = nodes(case.model)[0]
        integers = self.table.made_of(case.precision)
        if node.data is None or node.data.shape is None or kind(node.data, integers)[0] not in _TYPES:
            return None
        known = [outcome for outcome in outcomes if outcome.device in self.table.devices]
        axes = re.search(rf" rank \d+ {case.precision}( .*)?$", case.name)
        return Point(
            name=case.name,
            form=case.form,
            sort=case.sort,
            axes=(axes.group(1) or "") if axes else "",
            node=node,
            integers=integers,
            kind=kind(node.data, integers),
            rank=node.data.rank,
            elements={n: v if isinstance(v, tuple) else (v,) for n, v in node.attributes.items()},
            discriminators={tell: _held(tell, node) for tell in self.discriminators},
            found={o.device: self._said if o.found in self._refusals else o.found for o in known},
            errors={outcome.device: outcome.error for outcome in known},
        )

    def _covered(self, rule: OpRule) -> int:
        """The points that a rule decides on its own, devices aside."""
        devices = (rule.evidence.devices or self.table.devices)[:1]
        return self.tried.where(lambda p: judge(p.node, [rule], integers=p.integers, devices=devices).decided)

    def _left(self, rules: Sequence[OpRule]) -> dict[str, int]:
        """The points of the grid that rules leave unknown, by device."""
        left = dict.fromkeys(self.table.devices, 0)
        for i, point in enumerate(self.tried.points):
            for device in self.table.devices if point.sort != "random" else ():
                left[device] |= (point.found.get(device, _UNKNOWN) != _UNKNOWN) << i
        for rule in rules:
            covered = self._covered(rule)
            for device in rule.evidence.devices or self.table.devices:
                left[device] &= ~covered
        return left

    # -- rules that were there ----------------------------------------------------------------------

    def _kept(self, old: Sequence[OpRule]) -> list[OpRule]:
        """The old rules that nothing contradicts: first refusals, then what they leave to the others."""
        kept: list[OpRule] = []
        for rule in (*self.everywhere, *sorted(old, key=lambda rule: rule.accepts)):
            against = self._contradiction(rule, [r for r in kept if not r.accepts])
            if rule.op == "*":
                if against:
                    self.notes.append(f"{self.op}: '{rule.id}' says otherwise than what {against}")
                continue
            if against:
                self.notes.append(f"{self.op}: '{rule.id}' is dropped: {against}")
            else:
                kept.append(rule)
        return [rule for rule in old if rule in kept]

    def _contradiction(self, rule: OpRule, refusals: Sequence[OpRule]) -> str:
        first = [*self.everywhere, *refusals]
        covered = [point for _, point in self.tried.each(self._covered(rule))]
        # A refusal may hold for cases of several refusals, where nothing tells those apart.
        alike = self._alike(rule.verdict, covered, rule.evidence.devices or self.table.devices)
        for point in covered:
            for device in rule.evidence.devices or self.table.devices:
                found = point.found.get(device, _UNKNOWN)
                if found in (_UNKNOWN, *alike):
                    continue
                if self._refused(point, device, first, rule):
                    continue
                return f"{point.name} on {device} came out as '{found}'"
        return ""

    def _alike(self, verdict: str, points: Sequence[Point], devices: Sequence[str]) -> frozenset[str]:
        """Outcomes that do not contradict a verdict on some points."""
        own = any(point.found.get(device) == verdict for point in points for device in devices)
        if verdict != "runs" and own:
            return _VERDICTS - {"runs"}
        return frozenset({verdict}) | (self._refusals if verdict in self._refusals else frozenset())

    def _refused(self, point: Point, device: str, rules: Sequence[OpRule], beside: OpRule) -> bool:
        others = [rule for rule in rules if rule is not beside]
        finding = judge(point.node, others, integers=point.integers, devices=(device,))
        same = finding.rule is not None and finding.rule.verdict == point.found[device]
        return finding.decided and (beside.accepts or same)

    # -- new rules ----------------------------------------------------------------------------------

    def _cut(self, form: str, version: int, unknown: dict[str, int]) -> Iterator[OpRule]:
        """Rules for what is unknown of one form at one version; what they cover is taken from ``unknown``."""
        tried = self.tried
        ground = tried.of("form", form) & tried.of("version", version) & ~tried.of("sort", "random")
        while (task := self._task(ground, unknown)) is not None:
            verdict, devices, todo = task
            region = self._region(form, version, ground, (verdict,), devices, todo)
            made = self._made(region, todo, verdict, devices)
            if not made and verdict != "runs":
                mixed = self._region(form, version, ground, tuple(_VERDICTS - {"runs"}), devices, todo)
                made = self._made(mixed, todo, verdict, devices)
            yield from made
            new = 0
            for rule in made:
                covered = self._covered(rule)
                new |= covered & todo
                for device in devices:
                    # Another version that means the same may have come out otherwise.
                    unknown[device] &= ~covered | region.other
            if not new:
                for device in devices:
                    unknown[device] &= ~todo
                self.notes.append(
                    f"{self.op}/{form}: no rule can tell {todo.bit_count()} cases that came out as "
                    f"'{verdict}' from others, such as {next(tried.each(todo))[1].name}"
                    + self._unheld(region)
                )

    def _made(self, region: Region, todo: int, verdict: Outcome, devices: tuple[str, ...]) -> list[OpRule]:
        """The rules of the largest box, none of which covers what came out otherwise."""
        box = region.largest(todo)
        made = () if box is None else shaped(region, box, self.op, verdict, self._named(devices))
        safe = [(rule, self._covered(rule)) for rule in made]
        safe = [(rule, covered) for rule, covered in safe if not covered & region.bad]
        return [rule for rule, _ in safe] if any(covered & todo for _, covered in safe) else []

    def _unheld(self, region: Region) -> str:
        """Say which constraints of a form that runs nobody has tried to hold: no rule can name that."""
        held = region.ground | region.agree
        never = [tell for tell in region.own if not held & self.tried.of("holds", tell)]
        return f"; no case holds to {', '.join(never)}" if never and region.accepts else ""

    def _task(self, ground: int, unknown: Mapping[str, int]) -> tuple[Outcome, tuple[str, ...], int] | None:
        """A verdict, the devices that it holds on and the unknown points: most devices first, then points."""
        tasks: dict[tuple[Outcome, tuple[str, ...]], int] = {}
        for i, point in self.tried.each(ground):
            open_ = [device for device in self.table.devices if unknown[device] >> i & 1]
            for verdict in _VERDICTS & {point.found[device] for device in open_}:
                key = verdict, tuple(device for device in open_ if point.found[device] == verdict)
                tasks[key] = tasks.get(key, 0) | 1 << i
        best = min(tasks, key=lambda key: (-len(key[1]), -tasks[key].bit_count(), key), default=None)
        return None if best is None else (*best, tasks[best])

    def _region(
        self, form: str, version: int, ground: int, verdicts: Sequence[str], devices: Sequence[str], todo: int
    ) -> Region:
        """What boxes are cut from; several refusals count as one where nothing tells them apart."""
        tried = self.tried
        agree = tried.where(lambda p: all(p.found.get(device) in verdicts for device in devices))
        own = self.forms[form].discriminators if form in self.forms else ()
        points = [point for _, point in tried.each(ground)]
        values: dict[str, set[object]] = defaultdict(set)
        for point in points:
            for name, elements in point.elements.items():
                values[name].add(elements)
                default = point.node.defaults.get(name)
                values[name].add(default if isinstance(default, tuple) else (default,))
        rest = [device for device in self.table.devices if device not in devices]
        wider = tried.where(lambda p: any(p.found.get(device) in verdicts for device in rest))
        other = tried.where(
            lambda p: any(p.found.get(device, _UNKNOWN) not in (*verdicts, _UNKNOWN) for device in devices)
        )
        return Region(
            tried=tried,
            accepts=verdicts[0] == "runs",
            ground=ground,
            good=ground & agree & (todo | ~wider),
            agree=agree,
            bad=tried.of("version", version) & (other | ~agree & ~tried.of("sort", "random")),
            other=other,
            own=tuple(own),
            every=self.discriminators,
            features=frozenset(name for name, found in values.items() if len(found) > 1),
            form=self.forms.get(form),
            version=version,
        )

    def _named(self, devices: tuple[str, ...]) -> tuple[str, ...]:
        return () if set(devices) == set(self.table.devices) else devices

    def _counted(self, rule: OpRule) -> OpRule:
        """The rule with the number of cases behind it, and the commonest error where none is said yet."""
        points = [point for _, point in self.tried.each(self._covered(rule))]
        if not points:
            return rule
        devices = rule.evidence.devices or self.table.devices
        said = Counter(
            point.errors[device]
            for point in points
            for device in devices
            if not rule.accepts and point.found.get(device) == rule.verdict and point.errors[device]
        )
        error = rule.evidence.error or min(said, key=lambda text: (-said[text], text), default="")
        evidence = rule.evidence.model_copy(update={"cases": len(points), "error": error})
        return rule.model_copy(update={"evidence": evidence})

    # -- the proof ----------------------------------------------------------------------------------

    def _replayed(self, kept: Sequence[OpRule], new: list[tuple[OpRule, str]]) -> list[tuple[OpRule, str]]:
        """Drop new rules until none decides a case otherwise than it came out."""
        while True:
            rules = [*self.everywhere, *kept, *(rule for rule, _ in new)]
            guilty = self._mistake(rules, [rule for rule, _ in new])
            if guilty is None:
                return new
            new = [pair for pair in new if pair[0] is not guilty]
            self.notes.append(f"{self.op}: a rule that says '{guilty.verdict}' did not stand the replay")

    def _mistake(self, rules: Sequence[OpRule], new: Sequence[OpRule]) -> OpRule | None:
        for point in self.tried.points:
            for device, found in point.found.items():
                finding = judge(point.node, rules, integers=point.integers, devices=(device,))
                if found == _UNKNOWN or not finding.decided or finding.rule is None:
                    continue
                if finding.rule.accepts != (found == "runs") and any(r is finding.rule for r in new):
                    return finding.rule
        return None

    def _count_unknown(self, rules: Sequence[OpRule]) -> None:
        left = self._left(rules)
        points = 0
        for mask in left.values():
            points |= mask
        total = self.tried.where(lambda p: p.sort != "random").bit_count()
        if points:
            first = next(self.tried.each(points))[1].name
            self.notes.append(
                f"{self.op}: {points.bit_count()} of {total} cases stay unknown, such as {first}"
            )


def _commonest(
    refusals: Collection[Outcome], results: Sequence[tuple[Case, tuple[CaseOutcome, ...]]]
) -> Outcome:
    """The word for refusals that are all the same: the one that was found most often."""
    found = Counter[str](outcome.found for _, outcomes in results for outcome in outcomes)
    return max(sorted(refusals), key=lambda word: found[word], default="fails-to-compile")


def _held(tell: str, node: Node) -> bool | None:
    breach = CONSTRAINTS[tell].breach(node)
    return True if breach is None else False if breach.certain else None
