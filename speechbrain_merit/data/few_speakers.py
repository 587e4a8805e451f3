"""Corpora of so few speakers that all of them train, unless a fold is asked for.

A preparation of such a corpus says so by ``FEW_SPEAKERS = True`` in its module.
"""

from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.data.manifests import load_manifest, write_manifest
from speechbrain_merit.data.splits import N_FOLDS
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

FEWEST = 3  # speakers for train, valid and test


def few_speakers(corpus, speakers, fold=None):
    """The splits of a corpus of so few speakers that all of them train unless a fold is asked for.

    Arguments
    ---------
    corpus : str
        Its name, for messages.
    speakers : list of str
        All of them.
    fold : int, optional
        1 to the number of speakers, at most 5: the part of them that is for the test; the part
        before it is for validation.

    Returns
    -------
    dict
        ``{split: speakers}``; ``train`` alone without a fold.

    Raises
    ------
    PreparationError
        There is no such fold.

    Example
    -------
    >>> few_speakers("MY", ["a", "b", "c", "d"])
    {'train': ['a', 'b', 'c', 'd']}
    >>> few_speakers("MY", ["a", "b", "c", "d"], fold=1)
    {'train': ['b', 'c'], 'valid': ['d'], 'test': ['a']}
    """
    if fold is None:
        return {"train": list(speakers)}
    count = min(len(speakers), N_FOLDS)
    if count < FEWEST:
        raise PreparationError(
            f"fold: {corpus} has {len(speakers)} speakers, too few for train, valid and test: "
            "leave the fold out, and train on another corpus beside it."
        )
    if fold not in range(1, count + 1) or isinstance(fold, bool):
        raise PreparationError(f"fold: {fold!r} is none of 1 to {count}, which {corpus} has.")
    parts = [list(speakers[part::count]) for part in range(count)]
    test, valid = fold - 1, (fold - 2) % count
    train = [s for part, group in enumerate(parts) if part not in (test, valid) for s in group]
    return {"train": train, "valid": parts[valid], "test": parts[test]}


def settle_few_speakers(name, manifests, needed, beside):
    """What a corpus whose speakers all train is good for: beside others, or to be scored whole.

    Arguments
    ---------
    name : str
        Of the corpus.
    manifests : dict
        ``{split: JSON file}``, of which the preparation has written ``train``.
    needed : tuple of str
        The splits that are used; without ``train``, all of the corpus becomes the test.
    beside : bool
        Whether there are other corpora.

    Raises
    ------
    PreparationError
        It is to train with no other corpus beside it.
    """
    for split in ("valid", "test"):  # of an earlier preparation with a fold
        Path(manifests[split]).unlink(missing_ok=True)
    if "train" not in needed:
        write_manifest(manifests["test"], load_manifest(manifests["train"]))
        logger.warning(
            f"{name}: all of it is the test, which says something of models that were not trained "
            "on it."
        )
    elif not beside:
        raise PreparationError(
            f"{name} has so few speakers that all of them train: add a corpus whose speakers "
            f"validate and test (--corpus RAVDESS,{name}), or give --fold where it has folds."
        )
