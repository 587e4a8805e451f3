"""Which utterance goes where: labels that are wanted, splits by speaker, cross-validation."""

import difflib
import re
from collections import Counter

from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.listing import folded
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

N_FOLDS = 5
ALIKE = 0.8  # of two labels' letters, as difflib counts: more looks like a slip of the pen


class WantedLabels:
    """Which of the labels that are asked for an emotion of a corpus counts as.

    ``Angry`` and ``angry ``, ``1`` and ``1.0`` are one label, as long as no other one that is
    asked for is spelled that nearly alike; then each counts as itself alone.

    Arguments
    ---------
    labels : list of str
        The labels that are wanted; with none named, all are.
    merge_labels : dict, optional
        ``{label: label}``: the first counts as the second, such as excited as happy.

    Raises
    ------
    PreparationError
        If `merge_labels` leads to a label that is not wanted.

    Example
    -------
    >>> wanted = WantedLabels(["sad", "happy"], {"excited": "happy"})
    >>> [wanted(emotion) for emotion in ("Sad", "excited", "bored")]
    ['sad', 'happy', None]
    """

    def __init__(self, labels, merge_labels=None):
        self.labels = [labels] if isinstance(labels, str) else list(labels or [])
        self.seen, self.left_out = set(), Counter()
        self.counts_as = {str(label): label for label in self.labels}
        self.by_spelling = _unambiguous(self.counts_as)
        merged = {}
        for label, other in (merge_labels or {}).items():
            merged[str(label)] = self._find(other) if self.labels else other
            if merged[str(label)] is None:
                raise PreparationError(
                    f"merge_labels: {label} is to count as {other}, which is none of the labels "
                    f"{', '.join(map(str, self.labels))}."
                )
        self.merged = {spelling(label) for label in merged}
        self.counts_as.update(merged)
        self.by_spelling = _unambiguous(self.counts_as)

    def __call__(self, emotion):
        """The label that an emotion counts as; None, and counted, if it is not wanted."""
        self.seen.add(spelling(emotion))
        found = self._find(emotion)
        if found is None and not self.labels:
            return emotion
        if found is None:
            self.left_out[emotion] += 1
        return found

    def _find(self, emotion):
        return self.counts_as.get(str(emotion), self.by_spelling.get(spelling(emotion)))

    def report(self, corpus):
        """Says what was left out, and what in `merge_labels` the corpus does not have."""
        if self.left_out:
            counts = ", ".join(f"{emotion} {n}" for emotion, n in sorted(self.left_out.items()))
            logger.info(f"{corpus}: left out, not in `labels`: {counts}")
        wanted = [str(label) for label in self.labels]
        for emotion in sorted(self.left_out):
            near = difflib.get_close_matches(str(emotion), wanted, n=1, cutoff=ALIKE)
            if near:
                logger.warning(
                    f"{corpus}: {self.left_out[emotion]} utterances are {emotion} and left out. If "
                    f'that is {near[0]}: --merge_labels "{{{emotion}: {near[0]}}}".'
                )
        unused = sorted(self.merged - self.seen)
        if unused:
            logger.warning(f"{corpus}: merge_labels: no utterance is {' or '.join(unused)}.")


def spelling(label):
    """What is the same however a label or a speaker is spelled; spreadsheets write 1 as 1.0.

    Example
    -------
    >>> spelling(" Angry") == spelling("ANGRY"), spelling("1.0")
    (True, '1')
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", folded(str(label)))


def _unambiguous(counts_as):
    """{spelling: label} where all that are spelled like that count as one label."""
    found = {}
    for emotion, label in counts_as.items():
        found.setdefault(spelling(emotion), set()).add(label)
    return {spelling: labels.pop() for spelling, labels in found.items() if len(labels) == 1}


def split_by_speaker(corpus, utterances, splits, labels, merge_labels=None):
    """Shares utterances out among splits, so that no speaker is in two of them.

    Utterances with a label that is not wanted are left out and counted, never taken for another.

    Arguments
    ---------
    corpus : str
        Its name, for messages.
    utterances : dict
        ``{id: {"wav": Path, "emo": label of the corpus, "spk_id": speaker, …}}``.
    splits : dict
        ``{split: speakers}``.
    labels : list of str
        The labels that are wanted, however the corpus spells them; with none named, all are.
    merge_labels : dict, optional
        ``{label: label}``: the first counts as the second, such as excited as happy.

    Returns
    -------
    dict
        ``{split: {id: row}}``, as `prepare_speech` takes it.

    Raises
    ------
    PreparationError
        If a speaker is in no split, or `merge_labels` leads to a label that is not wanted.

    Example
    -------
    >>> said = {"a": {"emo": "Sad", "spk_id": 1}, "b": {"emo": "fear", "spk_id": 2}}
    >>> split_by_speaker("MY", said, {"train": [1], "test": [2]}, ["sad", "happy"])
    {'train': {'a': {'emo': 'sad', 'spk_id': 1}}, 'test': {}}
    """
    wanted = WantedLabels(labels, merge_labels)
    split_of = {speaker: split for split, speakers in splits.items() for speaker in speakers}
    rows = {split: {} for split in splits}
    for name, row in utterances.items():
        if row["spk_id"] not in split_of:
            raise PreparationError(
                f"{corpus}: {name} is by speaker {row['spk_id']}, whom the corpus as published "
                "does not have: take the file out, or add the speaker to a split."
            )
        emotion = wanted(row["emo"])
        if emotion is not None:
            rows[split_of[row["spk_id"]]][name] = {**row, "emo": emotion}
    wanted.report(corpus)
    return rows


def cross_validate(splits, fold=None, folds=None):
    """The splits of one fold of a 5-fold cross-validation over speakers.

    Fold k is tested on the k-th part of the speakers and validated on the part before it, so that
    each speaker is tested on once.

    Arguments
    ---------
    splits : dict
        ``{split: speakers}``: what is used without a fold.
    fold : int, optional
        1 to 5.
    folds : list, optional
        The five parts; if not given, all speakers of `splits` in their order, dealt out like cards.

    Returns
    -------
    dict
        ``{split: speakers}``.

    Raises
    ------
    PreparationError
        If `fold` is none of 1 to 5, or there are fewer than five speakers.

    Example
    -------
    >>> cross_validate({"train": range(1, 11), "valid": [], "test": []}, fold=1)
    {'train': [2, 7, 3, 8, 4, 9], 'valid': [5, 10], 'test': [1, 6]}
    """
    if fold is None:
        return splits
    if fold not in range(1, N_FOLDS + 1) or isinstance(fold, bool):
        raise PreparationError(f"fold: {fold!r} is none of 1 to {N_FOLDS}.")
    if folds is None:
        speakers = sorted(speaker for group in splits.values() for speaker in group)
        if len(speakers) < N_FOLDS:
            raise PreparationError(
                f"There are {len(speakers)} speakers ({', '.join(map(str, speakers))}), and "
                f"{N_FOLDS} are needed: a fifth of them is for the test and a fifth for "
                "validation. Add recordings of others, or give a column `split` that says which "
                "recordings are for train, valid and test."
            )
        folds = [speakers[part::N_FOLDS] for part in range(N_FOLDS)]
    test, valid = fold - 1, (fold - 2) % N_FOLDS
    train = [s for part, group in enumerate(folds) if part not in (test, valid) for s in group]
    return {"train": train, "valid": list(folds[valid]), "test": list(folds[test])}
