"""The rows of finished runs as what a comparison is made of: utterances under a condition."""

from typing import NamedTuple

import numpy as np

from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.evaluation import comparison
from speechbrain_merit.evaluation.predictions import read_predictions
from speechbrain_merit.experiments.expert_use import chosen, use_of

KEPT = "predictions.jsonl.xz"  # in the folder that keeps a run
SAME_INPUT = 0.01  # dB of segmental SNR, in which the noisy input of two runs may differ
TEST_KEYS = ("test_seed", "test_band_limit")  # settings that make other mixtures
EXPERTS = "Use of the experts"  # the title of a table that no plan asks for


class Metric(NamedTuple):
    """How a metric is written, its decimals, and the score of an utterance's row, but of F1."""

    title: str
    decimals: int
    value: object


def gain(key):
    """Of an enhancement score, the output's minus the input's."""
    return lambda scores: scores[key] - scores[f"{key}_noisy"]


#: What a table may show; more is better in each.
METRICS = {
    "f1_macro": Metric("F1-macro", 3, None),
    "pesq": Metric("PESQ", 2, lambda scores: scores["pesq"]),
    "stoi": Metric("STOI", 3, lambda scores: scores["stoi"]),
    "si_sdr_gain": Metric("gain in SI-SDR (dB)", 2, gain("si_sdr")),
    "ssnr_gain": Metric("gain in segmental SNR (dB)", 2, gain("ssnr")),
}


class Heard(NamedTuple):
    """What a system made of an utterance: its ``speaker``, and ``values`` by metric.

    Of F1-macro the value is a pair of true and predicted class, or None without an emotion head.
    """

    speaker: str
    values: dict


def heard(row, labels):
    """The :class:`Heard` of a row of predictions."""
    scores, values = row["scores"], {}
    for name, metric in METRICS.items():
        if name == "f1_macro":
            answers = row["probabilities"]
            pair = answers and (labels.index(row["label"]), int(np.argmax(answers)))
            values[name] = pair or None
        else:
            try:
                values[name] = metric.value(scores)
            except TypeError:  # no enhancement head, or no score: of silence, or against itself
                values[name] = None
    return Heard(row["speaker"], values)


class Scored(NamedTuple):
    """What the file of a run's predictions says.

    ``labels``; ``test``, the settings that make its mixtures; ``heard``, condition → utterance →
    :class:`Heard`; ``noisy``, the segmental SNR of each noisy input; ``uses``, the `Use` of each
    row, none without experts or where nobody chooses among them.
    """

    labels: list
    test: dict
    heard: dict
    noisy: dict
    uses: list


def read_scored(path):
    """The :class:`Scored` of a file of predictions; raises `PredictionsError` for a broken one."""
    header, rows = read_predictions(path)
    test = {key: header["settings"].get(key) for key in TEST_KEYS}
    scored = Scored(header["labels"], test, {}, {}, [])
    for row in rows:
        score = (row["scores"] or {}).get("ssnr_noisy")
        if score is not None:
            scored.noisy[row["id"]] = score
        if header["n_experts"] and chosen(row["experts"]):
            scored.uses.append(use_of(row))
        condition = row["noise_set"], row["snr_db"]
        scored.heard.setdefault(condition, {})[row["utterance"]] = heard(row, header["labels"])
    return scored


def belongs(fold, folds):
    """Whether a run of a fold (None: of the fixed split) is one of a table's ``folds``.

    Example
    -------
    >>> belongs(2, "all"), belongs(2, [1, 3]), belongs(None, "fixed")
    (True, False, True)
    """
    if isinstance(folds, list):
        return fold in folds
    return (fold is None) == (folds == "fixed")


class Results:
    """What the finished runs of a table's systems say.

    Arguments
    ---------
    plan : Plan
        The experiment.
    table : dict
        One of its ``tables``.
    folder : callable
        From a run's name to the folder that keeps it.
    changed : collection of str
        Runs that were asked for otherwise than the plan does by now.
    others : dict
        Run → why what its folder keeps is not its own: it has no part in the table.
    read : callable
        From the path of predictions to their :class:`Scored`; tables may share what it has read.

    Attributes
    ----------
    systems : dict
        System → seed → condition → utterance → :class:`Heard`. The folds of a seed are one: each
        speaker is tested in one of them.
    missing : list of str
        Runs of the table that are not there.
    problems : dict
        Run → what is wrong with its predictions.
    changed : list of str
        Those of ``changed`` that are in it.
    uses : dict
        Run → the `Use` of each of its rows; without experts, none.
    """

    def __init__(self, plan, table, folder, changed=(), others=None, read=read_scored):
        wanted = {*table["systems"], *(table.get("baselines") or ())}
        folds = table.get("folds", "all")
        self.systems, self.missing, self.problems, self.labels = {}, [], {}, None
        self.changed, self.uses, self.test, self.noisy = [], {}, None, {}
        self.counts = {}  # of `n_speakers`, which the cells of a table ask for again and again
        for name, run in plan.runs.items():
            if run.system not in wanted or run.corpus != table["corpus"]:
                continue
            if not belongs(run.fold, folds):
                continue
            if not (folder(name) / KEPT).is_file():
                self.missing.append(name)
                continue
            if name in (others or {}):
                self.problems[name] = others[name]
                continue
            try:
                self.add(run, folder(name) / KEPT, read)
                self.changed += [name] * (name in changed)
            except PredictionsError as error:
                self.problems[name] = str(error)

    def add(self, run, path, read=read_scored):
        """Takes up the predictions of a run, all or none."""
        scored = read(path)
        if self.labels not in (None, scored.labels):
            raise PredictionsError(f"{path} has other labels than the runs before it.")
        first, test = self.test, scored.test
        if first not in (None, test):
            other = [key for key in test if test[key] != first[key]]
            raise PredictionsError(
                f"{path} was scored with another {', '.join(other)} than the runs before it: "
                "their mixtures cannot be paired."
            )
        for name, score in scored.noisy.items():
            if abs(score - self.noisy.get(name, score)) > SAME_INPUT:
                raise PredictionsError(
                    f"{path}: the noisy input of {name} is not that of the runs before it: speech "
                    "or noise have changed under their names."
                )
        conditions = self.systems.get(run.system, {}).get(run.seed, {})
        for condition, utterances in scored.heard.items():
            twice = {*conditions.get(condition, {})} & {*utterances}
            if twice:
                raise PredictionsError(f"{path}: {min(twice)} was tested in another fold too.")
        self.labels, self.test = scored.labels, test
        self.uses[run.name] = scored.uses
        self.noisy |= scored.noisy
        self.counts.clear()
        conditions = self.systems.setdefault(run.system, {}).setdefault(run.seed, {})
        for condition, utterances in scored.heard.items():
            conditions.setdefault(condition, {}).update(utterances)

    def n_speakers(self, system, metric=None):
        """How many speakers each seed of a system has tested: fewer while folds are missing.

        Of a metric: those that have values of it, in the seeds that have any.
        """
        if (system, metric) not in self.counts:
            self.counts[system, metric] = self.count_speakers(system, metric)
        return self.counts[system, metric]

    def count_speakers(self, system, metric):
        """What `n_speakers` says, counted."""
        counts = [
            len(
                {
                    one.speaker
                    for utterances in conditions.values()
                    for one in utterances.values()
                    if metric is None or one.values[metric] is not None
                }
            )
            for conditions in self.systems.get(system, {}).values()
        ]
        return min(filter(None, counts), default=0)

    def titled(self, system, systems, metric=None):
        """A system's name; where folds are missing, "(6 of 12 speakers)" of the most of systems."""
        own = self.n_speakers(system, metric)
        most = max(self.n_speakers(other, metric) for other in systems)
        return system if own == most else f"{system} ({own} of {most} speakers)"

    def seeds(self, system, condition, metric):
        """Utterance → :class:`Heard` of each seed, of those that have a metric's values."""
        seeds = self.systems.get(system, {}).values()
        found = [conditions.get(condition, {}) for conditions in seeds]
        return [
            {name: one for name, one in utterances.items() if one.values[metric] is not None}
            for utterances in found
            if any(one.values[metric] is not None for one in utterances.values())
        ]

    def scores(self, system, condition, metric):
        """The score of each seed of a system: a list, empty where it has none."""
        score = SCORES[metric]
        return [
            float(score(self.cells(utterances, sorted(utterances), metric).sum(axis=0)))
            for utterances in self.seeds(system, condition, metric)
        ]

    def cells(self, utterances, names, metric):
        """The cells (n, K) of utterances, see `comparison`."""
        values = [utterances[name].values[metric] for name in names]
        if metric == "f1_macro":
            return comparison.f1_macro_cells(*zip(*values), len(self.labels))
        return comparison.mean_cells(values)

    def compare(self, system, baseline, condition, metric):
        """How a system differs from a baseline, on the utterances that all their seeds tested.

        Returns
        -------
        Change or None
            None where one of the two has no such score, or they share no utterance.
        """
        ours = self.seeds(system, condition, metric)
        theirs = self.seeds(baseline, condition, metric)
        if not ours or not theirs:
            return None
        names = sorted(set.intersection(*map(set, ours + theirs)))
        if not names:
            return None
        draws = comparison.draws_of(tuple(ours[0][name].speaker for name in names))
        a, b = ([self.cells(u, names, metric) for u in side] for side in (ours, theirs))
        return comparison.compare(a, b, SCORES[metric], draws)


SCORES = {name: comparison.f1_macro if name == "f1_macro" else comparison.mean for name in METRICS}
