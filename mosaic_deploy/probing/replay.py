"""Cases tried before, held against the table again; and the cases that single rules rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import Tried
from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable
from mosaic_deploy.probing.evidence import Evidence, resting
from mosaic_deploy.specs.toml import nearest


def find_rules(names: Sequence[str], table: OpTable) -> tuple[OpRule, ...]:
    """The rules of these ids; raises ``UsageError`` for one that the table does not have."""
    by_id = {rule.id: rule for rule in table.rules}
    for name in names:
        if name not in by_id:
            raise UsageError(f"--rule {name}: {table.name} has no such rule{nearest(name, by_id)}")
    return tuple(by_id[name] for name in names)


def cases_of(rules: Sequence[OpRule], drawn: Iterable[Case], table: OpTable) -> tuple[Case, ...]:
    """The cases that at least one of some rules rests on, in their order; all where no rule is named."""
    cases = tuple(drawn)
    if not rules:
        return cases
    wanted = {case.name for rule in rules for case in resting(rule, cases, table)}
    return tuple(case for case in cases if case.name in wanted)


def replayed(cases: Sequence[Case], evidence: Evidence) -> tuple[Tried, ...]:
    """The cases that were tried, with what came of them; raises ``UsageError`` where none was."""
    found = tuple((case, known) for case in cases if (known := evidence.known(case)))
    if not found:
        raise UsageError(f"{evidence.table}: nothing is kept of these cases: --verify tries them")
    return found


def lines_of(rules: Sequence[OpRule], tried: Sequence[Tried], table: OpTable) -> Iterator[str]:
    """For each rule a line with its cases' number, and one for each case with what came of it."""
    found = {case.name: outcomes for case, outcomes in tried}
    for rule in rules:
        own = resting(rule, [case for case, _ in tried], table)
        stated = rule.evidence.cases
        yield f"rule {rule.id} ({rule.verdict}): {len(own)} cases here, {stated} when it was made"
        for case in own:
            by_verdict: dict[str, list[str]] = {}
            for outcome in found[case.name]:
                by_verdict.setdefault(outcome.found, []).append(outcome.device)
            said = "; ".join(f"{verdict} on {', '.join(where)}" for verdict, where in by_verdict.items())
            yield f"  {case.name}: {said}"


def untold(cases: Sequence[Case], tried: Sequence[Tried]) -> tuple[str, ...]:
    """A line on the operators of cases that nothing is kept of."""
    kept = {case.name for case, _ in tried}
    missing: Mapping[str, int] = Counter(case.op for case in cases if case.name not in kept)
    if not missing:
        return ()
    ops = ", ".join(f"{op} ({count})" for op, count in sorted(missing.items()))
    count = sum(missing.values())
    return (f"nothing is kept of {count} case{'s' if count > 1 else ''}: {ops}",)
