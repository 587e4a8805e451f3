"""Which utterance goes where: labels that are wanted, splits by speaker, cross-validation."""

from collections import Counter

from speechbrain.utils.logger import get_logger

from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

N_FOLDS = 5


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
        The labels that are wanted; with none named, all are.
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
    >>> said = {"a": {"emo": "sad", "spk_id": 1}, "b": {"emo": "fear", "spk_id": 2}}
    >>> split_by_speaker("MY", said, {"train": [1], "test": [2]}, ["sad", "happy"])
    {'train': {'a': {'emo': 'sad', 'spk_id': 1}}, 'test': {}}
    """
    merge_labels = merge_labels or {}
    for label, other in merge_labels.items():
        if labels and other not in labels:
            raise PreparationError(
                f"merge_labels: {label} is to count as {other}, which is none of the labels "
                f"{', '.join(labels)}."
            )
    split_of = {speaker: split for split, speakers in splits.items() for speaker in speakers}
    rows, left_out = {split: {} for split in splits}, Counter()
    for name, row in utterances.items():
        if row["spk_id"] not in split_of:
            raise PreparationError(
                f"{corpus}: {name} is by speaker {row['spk_id']}, whom the corpus as published "
                "does not have: take the file out, or add the speaker to a split."
            )
        emotion = merge_labels.get(row["emo"], row["emo"])
        if emotion in labels or not labels:
            rows[split_of[row["spk_id"]]][name] = {**row, "emo": emotion}
        else:
            left_out[emotion] += 1
    if left_out:
        counts = ", ".join(f"{emotion} {count}" for emotion, count in sorted(left_out.items()))
        logger.info(f"{corpus}: left out, not in `labels`: {counts}")
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
        If `fold` is none of 1 to 5.

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
        folds = [speakers[part::N_FOLDS] for part in range(N_FOLDS)]
    test, valid = fold - 1, (fold - 2) % N_FOLDS
    train = [s for part, group in enumerate(folds) if part not in (test, valid) for s in group]
    return {"train": train, "valid": list(folds[valid]), "test": list(folds[test])}
