"""From the rows of utterances to one row a condition, the rows of ``metrics.json``.

Of each utterance a few numbers are kept, some 150 bytes, so that hundreds of thousands fit in
memory.
"""

from array import array

import numpy as np

from speechbrain_merit.evaluation.attributes import attribute_scores
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.evaluation.enhancement import SCORE_KEYS, mean_scores
from speechbrain_merit.evaluation.rows import heads
from speechbrain_merit.evaluation.significance import f1_interval

EMOTION_KEYS = (
    *("f1_macro", "f1_macro_ci", "f1_macro_ci_reason", "f1_micro"),
    *("uar", "recall", "confusion", "ece"),
)
ENHANCEMENT_KEYS = (*SCORE_KEYS, "pesq_failed")


class Conditions:
    """Takes rows (see `rows`) one by one; gives those of the conditions, in order of appearance.

    Arguments
    ---------
    header : dict
        Of the predictions: ``labels``, ``attributes`` and ``tasks``; of ``settings``, ``quick``.

    Example
    -------
    >>> header = {"labels": ["sad", "happy"], "attributes": [], "tasks": ["ser"]}
    >>> row = {"noise_set": None, "snr_db": None, "speaker": "a", "corpus": None, "label": "sad",
    ...        "probabilities": [0.9, 0.1], "frames": 50, "experts": None}
    >>> conditions = Conditions(header)
    >>> conditions.add(row)
    >>> [(row["n"], row["f1_macro"]) for row in conditions.rows()]
    [(1, 1.0)]
    """

    def __init__(self, header):
        self.labels, self.attributes = header["labels"], header["attributes"]
        self.heads = heads(header)
        self.quick = header.get("settings", {}).get("quick", False)
        # Columns of a condition's table; what the system has no head for has none.
        emotion = self.heads["emotion"] * len(self.labels)
        attributes = self.heads["attributes"] * len(self.attributes)
        enhancement = self.heads["enhancement"] * len(SCORE_KEYS)
        edges = np.cumsum([3, emotion, attributes, attributes, enhancement]).tolist()
        self.width = edges[-1]
        names = ("probabilities", "ratings", "rated", "scores")
        self.columns = {name: slice(*ends) for name, ends in zip(names, zip(edges, edges[1:]))}
        self.tables = {}  # condition → its numbers, a row of `width` behind the other
        self.speakers, self.corpora = {}, {}  # name → number
        self.frames = {}  # (task, condition, label) → frames of each expert

    def add(self, row):
        """Takes the row of an utterance."""
        speaker = self.speakers.setdefault(row["speaker"], len(self.speakers))
        corpus = self.corpora.setdefault(row["corpus"], len(self.corpora))
        label = self.labels.index(row["label"]) if self.labels else -1
        numbers = [speaker, corpus, label]
        if self.heads["emotion"]:
            numbers += row["probabilities"]
        if self.heads["attributes"]:
            numbers += row["attributes"]["truth"] + row["attributes"]["predicted"]
        if self.heads["enhancement"]:
            numbers += [row["scores"][key] for key in SCORE_KEYS]
        condition = (row["noise_set"], row["snr_db"])
        table = self.tables.setdefault(condition, array("d"))
        table.extend(np.nan if number is None else number for number in numbers)
        for task, shares in (row["experts"] or {}).items():
            frames = np.rint(np.multiply(shares, row["frames"])).astype(np.int64)
            for emotion in [None] + [row["label"]] * bool(self.labels):
                key = (task, *condition, emotion)
                self.frames[key] = self.frames.get(key, 0) + frames

    def rows(self):
        """One row a condition, with the keys of ``metrics.json``; what a system lacks is None.

        Where there are attributes, rows also hold ``ccc`` and ``ccc_by_attribute``.
        """
        return self._rows(lambda table: table)

    def by_corpus(self):
        """``{corpus: rows}`` of a test set that joins several corpora; of one corpus, empty."""
        if len(self.corpora) < 2:
            return {}
        return {
            corpus: self._rows(lambda table, own=number: table[table[:, 1] == own])
            for corpus, number in self.corpora.items()
        }

    def expert_use(self):
        """Share of each expert by task, condition and emotion (None: all), for the report."""
        return [
            {
                "task": task,
                "noise_set": noise_set,
                "snr_db": snr_db,
                "emotion": emotion,
                "shares": (frames / frames.sum()).tolist(),
            }
            for (task, noise_set, snr_db, emotion), frames in self.frames.items()
            if frames.sum()
        ]

    def _rows(self, choose):
        """A row for each condition that holds a chosen utterance."""
        tables = (
            (condition, choose(np.frombuffer(numbers).reshape(-1, self.width)))
            for condition, numbers in self.tables.items()
        )
        return [
            {"noise_set": noise_set, "snr_db": snr_db, **self._row(table)}
            for (noise_set, snr_db), table in tables
            if len(table)
        ]

    def _row(self, table):
        """The metrics of one table of numbers."""
        row = {"n": len(table), **dict.fromkeys(EMOTION_KEYS + ENHANCEMENT_KEYS)}
        if self.heads["emotion"]:
            row.update(self._emotion(table))
        if self.heads["attributes"]:
            pair = table[:, self.columns["ratings"]], table[:, self.columns["rated"]]
            row.update(attribute_scores(*pair, self.attributes))
        if self.heads["enhancement"]:
            row.update(mean_scores(table[:, self.columns["scores"]], self.quick))
        return row

    def _emotion(self, table):
        """The emotion metrics of one table of numbers."""
        probabilities, truth = table[:, self.columns["probabilities"]], table[:, 2].astype(int)
        names = list(self.speakers)
        speakers = [names[int(number)] for number in table[:, 0]]
        predicted = probabilities.argmax(axis=1)
        interval = f1_interval(truth, predicted, speakers, len(self.labels))
        return {
            **emotion_scores(truth, probabilities, self.labels),
            "f1_macro_ci": None if interval.low is None else [interval.low, interval.high],
            "f1_macro_ci_reason": interval.reason,
        }
