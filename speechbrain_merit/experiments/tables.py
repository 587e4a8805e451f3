"""The tables of an experiment in Markdown, and their places in RESULTS.md."""

import re

import numpy as np
from scipy.stats import t as student

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.comparison import LEVEL, holm, least_p
from speechbrain_merit.experiments.results import METRICS
from speechbrain_merit.writing import write_text

ABSENT = "–"
POWER = 0.8
SHOWN = 4  # runs that are missing, by name
MARKS = "<!-- {} {} -->", "<!-- end -->"


def number(value, decimals):
    """A number with a true minus.

    Example
    -------
    >>> number(-1.26, 1), number(None, 1)
    ('−1.3', '–')
    """
    if value is None:
        return ABSENT
    text = f"{value:.{decimals}f}"
    zero = not float(text)
    return text.replace("-", "" if zero else "−")


def p_value(p):
    """A p of three decimals; none is 0.

    Example
    -------
    >>> p_value(0.0421), p_value(0.0001), p_value(None)
    ('0.042', '< 0.001', '–')
    """
    return "< 0.001" if p is not None and p < 0.0005 else number(p, 3)


def named(condition):
    """A condition as a column's title.

    Example
    -------
    >>> named(("unseen", -5)), named((None, None))
    ('unseen, −5 dB', 'clean')
    """
    noise_set, snr_db = condition
    return "clean" if noise_set is None else f"{noise_set}, {number(snr_db, 0)} dB"


def markdown(header, rows):
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def conditions_of(table):
    """The conditions of a table: pairs of noise set and SNR; ``clean`` is (None, None)."""
    return [as_pair(condition) for condition in table["conditions"]]


def as_pair(condition):
    """Noise set and SNR of a condition of a plan; of ``clean`` (None, None)."""
    return (None, None) if condition == "clean" else tuple(condition)


def never_heard(results, table):
    """The conditions that a table names and no finished run was scored under."""
    named_ones = [*table["conditions"], *(table.get("claims") or [])]
    named_ones += [goal["condition"] for goal in table.get("goals") or []]
    heard = {c for seeds in results.systems.values() for s in seeds.values() for c in s}
    pairs = dict.fromkeys(map(as_pair, named_ones))
    return [pair for pair in pairs if heard and pair not in heard]


def scores_table(results, table, metric):
    """Systems against conditions: the mean over the seeds ± their standard deviation.

    A system that was tested on fewer speakers than others, since folds are missing, says so.
    """
    rows, conditions = [], conditions_of(table)
    for system in table["systems"]:
        cells = [results.scores(system, condition, metric) for condition in conditions]
        if any(cells):
            title = results.titled(system, table["systems"], metric)
            rows.append([title, *(mean_and_deviation(c, metric) for c in cells)])
    if not rows:
        return ""
    return markdown([METRICS[metric].title, *map(named, conditions)], rows)


def mean_and_deviation(scores, metric):
    """Mean ± standard deviation over seeds; of one seed the score alone.

    Example
    -------
    >>> mean_and_deviation([0.5, 0.7], "f1_macro"), mean_and_deviation([0.5], "f1_macro")
    ('0.600 ± 0.141', '0.500')
    """
    if not scores:
        return ABSENT
    decimals = METRICS[metric].decimals
    text = number(float(np.mean(scores)), decimals)
    return text if len(scores) == 1 else f"{text} ± {number(np.std(scores, ddof=1), decimals)}"


def comparisons_table(results, table):
    """Each system against each baseline under the conditions of the claims.

    Columns: both scores, the relative change with its 95 % interval, p by permutation, p after
    Holm's correction over this table, and the smallest change that four of five tests of this
    design would find.
    """
    found = []
    for condition in map(as_pair, table.get("claims") or []):
        for metric in table.get("claim_metrics") or table["metrics"]:
            for baseline in table.get("baselines") or []:
                for system in table.get("claim_systems") or table["systems"]:
                    change = system != baseline and results.compare(
                        system, baseline, condition, metric
                    )
                    if change:
                        found.append((metric, condition, system, baseline, change))
    if not found:
        return ""
    # two baselines are compared either way: that is one test
    tests = {(*of, frozenset((s, b))): change for *of, s, b, change in found}
    corrected = dict(zip(tests, holm([change.p for change in tests.values()])))
    rows = []
    for metric, condition, system, baseline, change in found:
        p = corrected[metric, condition, frozenset((system, baseline))]
        decimals = METRICS[metric].decimals
        rows.append(
            [
                f"{METRICS[metric].title}, {named(condition)}",
                *(system, number(change.a, decimals), baseline, number(change.b, decimals)),
                relative(change),
                p_value(change.p),
                p_value(p),
                detectable(change),
            ]
        )
    header = ["", "system", "", "against", "", "change [95 %]", "p", "p (Holm)", "detectable"]
    return markdown(header, rows) + out_of_reach([*tests.values()])


def out_of_reach(changes):
    """A line where no p can be small after the correction, however much systems differ."""
    tested = [change for change in changes if change.p is not None]
    most = max((change.n_speakers for change in tested), default=0)
    least = least_p(most) * len(tested)
    if least <= 1 - LEVEL:
        return ""
    return (
        f"\nOf {most} speakers no p is below {number(least_p(most), 3)}, and of {len(tested)} "
        f"comparisons none below {number(min(1.0, least), 3)} after Holm's correction: here the "
        "intervals tell what differs, and p (Holm) cannot.\n"
    )


def goals_table(results, table):
    """What was to be reached, what was, and whether: the change, and an interval that excludes 0.

    An entry of ``goals`` has ``system``, ``baseline``, ``metric``, ``condition`` and ``change``:
    the relative change in percent that is asked for.
    """
    rows = []
    for goal in table.get("goals") or []:
        metric, condition = goal["metric"], as_pair(goal["condition"])
        change = results.compare(goal["system"], goal["baseline"], condition, metric)
        words = f"{METRICS[metric].title}, {named(condition)}"
        words += f": {goal['system']} above {goal['baseline']}"
        found, met = (relative(change), reached(change, goal)) if change else (ABSENT, ABSENT)
        rows.append([words, f"{signed(float(goal['change']))} %", found, met])
    header = ["goal", "asked", "change [95 %]", "met"]
    return markdown(header, rows) if any(row[-1] != ABSENT for row in rows) else ""


def reached(change, goal):
    """Whether a goal was met, or what it misses."""
    if change.relative is None:
        return ABSENT
    if 100 * change.relative < goal["change"]:
        return "no"
    return "yes" if change.low > 0 else "no: the interval holds 0"


def relative(change):
    """A relative change in percent, with its interval."""
    if change.relative is None:
        return f"{ABSENT} ({change.reason})"
    ends = ", ".join(signed(100 * end) for end in (change.low, change.high))
    return f"{signed(100 * change.relative)} % [{ends}]"


def signed(value):
    """A number with its sign and one decimal.

    Example
    -------
    >>> signed(3.14), signed(-3.14), signed(0.0)
    ('+3.1', '−3.1', '0.0')
    """
    text = number(value, 1)
    return text if text.startswith("−") or not float(text) else f"+{text}"


def detectable(change):
    """The smallest relative change that a test of this design finds with a chance of 80 %.

    The half-width of the interval is t(.975) standard errors; t(.975) + t(.8) are needed.
    """
    if change.relative is None:
        return ABSENT
    freedom = change.freedom
    quantiles = [student.ppf(q, freedom) for q in ((1 + LEVEL) / 2, POWER)]
    half = (change.high - change.low) / 2
    return f"{number(100 * half * sum(quantiles) / quantiles[0], 1)} %"


def all_tables(results, table):
    """Everything that one entry of ``tables`` asks for, as text."""
    parts = [scores_table(results, table, metric) for metric in table["metrics"]]
    parts += [comparisons_table(results, table), goals_table(results, table)]
    lacking = [*results.missing, *results.problems]
    for text, names in (
        ("Not there yet", lacking),
        ("Made with other settings than the experiment has by now", results.changed),
    ):
        if names:
            more = ", …" if len(names) > SHOWN else ""
            some = ", ".join(names[:SHOWN]) + more
            parts.append(f"{text}: {len(names)} of its runs ({some}).\n")
    return "\n".join(part for part in parts if part)


def put(path, name, tables):
    """Writes tables between their marks in a document.

    Arguments
    ---------
    path : pathlib.Path
        RESULTS.md; where there is none, nothing is written.
    name : str
        Of the experiment.
    tables : dict
        Title → text. The marks are ``<!-- NAME TITLE -->`` and ``<!-- end -->``.

    Raises
    ------
    SettingsError
        A mark has no end, or names a table that is not there.
    """
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    found = re.findall(rf"<!-- {re.escape(name)} (.*?) -->", text)
    for title in found:
        if title not in tables:
            raise SettingsError(f"{path} has a place for {title!r}, which {name} has no table of.")
        begin, end = MARKS[0].format(name, title), MARKS[1]
        head, _, rest = text.partition(begin)
        old, closed, tail = rest.partition(end)
        if not closed or "<!--" in old:
            raise SettingsError(f"{path}: after {begin} there is no {end}.")
        text = f"{head}{begin}\n{tables[title]}{end}{tail}"
    write_text(path, text)
