"""From quantities, one value a seed, to verdicts: pooled variance, Holm's correction, settings.

A check is a quantity whose mean is claimed to lie above (">") or below ("<") a number. Checks of one quantity and one
input code, over arms and settings, pool their variance between seeds where Bartlett's test does not tell these apart
(5 %; of two or three seeds each it seldom does). Student's t then gives each check a two-sided p value. Holm's
correction holds over all checks of the claim that are measured: significant at 5 %, a check holds or is contradicted by
the side its mean lies on; else it is not decided. More networks make it stricter, and add degrees of freedom. Where a
network has one seed, the values are its chips, nothing is pooled, and the verdict is for this network. What was not
measured is open; what this design cannot measure is not decided, with the reason, as is what varies no more than by
rounding, or is no finite number.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import chdtrc, stdtr, stdtrit

HOLDS, CONTRADICTED, UNDECIDED, OPEN = "holds", "contradicted", "not decided", "open"
ALONE = " for one network"                                       # behind "holds" and "contradicted"
DECIDED = (HOLDS, HOLDS + ALONE, CONTRADICTED, CONTRADICTED + ALONE)
ORDER = (CONTRADICTED, CONTRADICTED + ALONE, OPEN, UNDECIDED, HOLDS + ALONE, HOLDS)     # a setting has the first
LEVEL = 0.05
NO_NUMBER = "not all values are finite"
ROUNDING = 1e-12                                                 # values differ by so much of themselves, or of 1


@dataclass
class Check:
    """One quantity under one setting, and what became of it."""

    about: str                          # network and arm
    setting: str
    quantity: str
    wanted: str                         # ">" or "<"
    than: float
    values: list[float] = field(default_factory=list)
    of: str = "seeds"                   # what the values are: seeds, chips of one network, networks
    why_open: str = ""                  # what is missing
    why_undecided: str = ""             # what this design cannot tell
    mean: float | None = None
    error: float | None = None          # standard error of the mean
    df: float | None = None
    pooled: bool = False
    p: float | None = None              # two-sided, not corrected
    decides: float | None = None        # how far from `than` a mean is decided even as Holm's strictest check
    verdict: str = OPEN

    @property
    def family(self) -> tuple[str, str]:
        """Checks whose seeds may vary alike: of one quantity and input code."""
        return self.quantity, "".join(re.findall(r"code \d+", self.setting))


def spread(checks: Sequence[Check]) -> tuple[float, float, bool]:
    """(variance between seeds, degrees of freedom, whether pooled) of the first, by all that are given."""
    own = np.asarray(checks[0].values)
    groups = [np.asarray(check.values) for check in checks if check.of == "seeds" and len(check.values) > 1]
    groups = [group for group in groups if varies(group)]             # values at a bound say nothing of the others
    if checks[0].of != "seeds" or not groups or (len(groups) == 1 and varies(own)) or bartlett(groups) < LEVEL:
        return float(own.var(ddof=1)) if varies(own) else 0.0, len(own) - 1, False
    df = sum(len(group) - 1 for group in groups)
    return sum((len(group) - 1) * float(group.var(ddof=1)) for group in groups) / df, df, True


def varies(values: np.ndarray) -> bool:
    """Whether values are finite, and differ by more than rounding."""
    return bool(np.isfinite(values).all() and np.ptp(values) > ROUNDING * max(1.0, np.abs(values).max()))


def bartlett(groups: Sequence[np.ndarray]) -> float:
    """p value of equal variances (Bartlett 1937) of groups that vary; of one alone 1."""
    if len(groups) < 2:
        return 1.0
    df = np.array([len(group) - 1 for group in groups])
    variances = np.array([group.var(ddof=1) for group in groups])
    pooled = (df @ variances) / df.sum()
    statistic = df.sum() * math.log(pooled) - df @ np.log(variances)
    correction = 1 + ((1 / df).sum() - 1 / df.sum()) / (3 * (len(groups) - 1))
    return float(chdtrc(len(groups) - 1, statistic / correction))


def decide(checks: Sequence[Check]) -> None:
    """Fill in mean, p value and verdict of all checks of one claim."""
    asked: list[tuple[Check, float, float, float]] = []             # with mean, standard error, degrees of freedom
    for check in checks:
        if not np.isfinite([*check.values, *(one for one in (check.mean, check.error) if one is not None)]).all():
            check.why_undecided, check.mean, check.error = check.why_undecided or NO_NUMBER, None, None
        if check.why_undecided:
            check.verdict = UNDECIDED
        elif check.of == "exact" and check.mean is not None:        # a theorem's bound: the worst value found
            check.verdict = HOLDS if is_right(check, check.mean) else CONTRADICTED
        elif check.mean is not None and check.error is not None and check.df is not None:       # as a correlation's are
            if check.error <= ROUNDING * max(1.0, abs(check.mean)):
                check.why_undecided, check.mean, check.verdict = f"no variance between {check.of}", None, UNDECIDED
                continue
            asked.append((check, check.mean, check.error, check.df))
        elif len(check.values) > 1:
            same = [check, *(one for one in checks if one is not check and one.family == check.family)]
            variance, df, check.pooled = spread(same)
            if variance == 0:
                check.why_undecided, check.verdict = f"no variance between {check.of}", UNDECIDED
                continue
            asked.append((check, float(np.mean(check.values)), math.sqrt(variance / len(check.values)), df))
        elif not check.why_open:
            check.why_open = f"{len(check.values)} of at least 2 {check.of}"
    ps = []
    for check, mean, error, df in asked:
        distance = abs(mean - check.than)
        ps.append(2 * float(stdtr(df, -distance / error)))
        check.mean, check.error, check.df, check.p = mean, error, df, ps[-1]
        check.decides = error * -float(stdtrit(df, LEVEL / (2 * len(asked))))
    for (check, mean, _, _), significant in zip(asked, holm(ps)):
        sided = (HOLDS if is_right(check, mean) else CONTRADICTED) + ALONE * check.of.endswith("one network")
        check.verdict = sided if significant else UNDECIDED


def is_right(check: Check, mean: float) -> bool:
    """Whether a mean is on the claimed side."""
    return mean > check.than if check.wanted == ">" else mean < check.than


def holm(ps: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several p values are significant, all errors together at most `level` (Holm 1979)."""
    significant = [False] * len(ps)
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        if ps[i] > level / (len(ps) - rank):
            break
        significant[i] = True
    return significant


def by_setting(checks: Sequence[Check]) -> dict[str, str]:
    """{setting: verdict}: the first in ORDER that a check of it has."""
    found: dict[str, str] = {}
    for check in checks:
        found[check.setting] = min(found.get(check.setting, HOLDS), check.verdict, key=ORDER.index)
    return found


def overall(checks: Sequence[Check]) -> str:
    """The claim's verdict: one word, or under which settings it is which, and how many are open."""
    settings = by_setting(checks)
    verdicts = list(settings.values())
    if len(set(verdicts)) <= 1:
        return verdicts[0] if verdicts else OPEN
    told = [f"{verdict} under {under(settings, verdict)}" for verdict in DECIDED + (UNDECIDED,) if verdict in verdicts]
    n = verdicts.count(OPEN)
    return "; ".join(told + [f"open under {n} other setting{'s' * (n > 1)}"] * (n > 0))


def under(settings: dict[str, str], verdict: str) -> str:
    """The settings of a verdict, in words."""
    return in_words(setting for setting, one in settings.items() if one == verdict)


def in_words(settings: Iterable[str]) -> str:
    """Settings, what they share before their code and what they share behind it said once."""
    found: dict[str, dict[str, list[str]]] = {}
    for setting in settings:
        before, code, after = (re.split(r", (code \d+)", setting, maxsplit=1) + ["", ""])[:3]
        found.setdefault(before, {}).setdefault(after.removeprefix(", "), []).append(code)
    return " / ".join(f"{before}: {', '.join(map(_of_codes, of.items()))}" if any(map(any, of.values())) else before
                      for before, of in found.items())


def _of_codes(told: tuple[str, list[str]]) -> str:
    what, codes = told[0].replace(", ", " with "), told[1]
    words = " and ".join([codes[0], *(code.removeprefix("code ") for code in codes[1:])])
    return f"{what} ({words})" if what else words
