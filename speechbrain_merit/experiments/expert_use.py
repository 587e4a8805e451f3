"""Do routers tell frames apart? The use of experts by task, SNR, emotion and loudness of the frame.

For each factor: how much of the spread of an expert's share over groups there is (the largest
difference between two groups' mean shares), and how often as much is found when the groups of what
is alike otherwise change places at random, those of one utterance for task, SNR and level, those of
one speaker for the emotion. A random router has every cause to differ by chance alone: its row says
what chance does.
"""

from typing import NamedTuple

import numpy as np

from speechbrain_merit.evaluation.frame_levels import LEVELS
from speechbrain_merit.evaluation.predictions import read_predictions

PERMUTATIONS = 999


class Use(NamedTuple):
    """The shares of experts of one utterance under one condition.

    ``shares`` is task → (E), ``by_level`` task → (3, E) or None.
    """

    utterance: str
    speaker: str
    label: str
    condition: tuple
    shares: dict
    by_level: dict | None


def read_use(path):
    """The :class:`Use` of each row of a file of predictions; empty without experts."""
    header, rows = read_predictions(path)
    if header["n_experts"] is None:
        return []
    return [
        Use(
            row["utterance"],
            str(row["speaker"]),
            row["label"],
            (row["noise_set"], row["snr_db"]),
            {task: np.array(shares) for task, shares in row["experts"].items()},
            row.get("experts_by_level"),
        )
        for row in rows
    ]


def spread(means):
    """The largest difference of an expert's share between two groups, of means (…, groups, E).

    Example
    -------
    >>> round(float(spread(np.array([[0.2, 0.8], [0.5, 0.5]]))), 3)
    0.3
    """
    return np.ptp(means, axis=-2).max(axis=-1)


def within_utterances(shares, seed=0):
    """Effect and p of a factor whose groups every utterance has.

    Arguments
    ---------
    shares : np.ndarray
        (n, groups, E): an utterance's share of each expert in each group.
    seed : int
        Of the permutations.

    Returns
    -------
    tuple
        `spread` of the means, and the share of permutations within utterances with as much.

    Example
    -------
    >>> shares = np.tile([[[0.9, 0.1], [0.1, 0.9]]], (20, 1, 1))
    >>> effect, p = within_utterances(shares)
    >>> round(float(effect), 3), p
    (0.8, 0.001)
    """
    observed, chance = spread(shares.mean(axis=0)), np.random.default_rng(seed)
    as_much = 1
    for _ in range(PERMUTATIONS):
        order = chance.random(shares.shape[:2]).argsort(axis=1)
        changed = np.take_along_axis(shares, order[..., None], axis=1)
        as_much += bool(spread(changed.mean(axis=0)) >= observed - 1e-12)
    return float(observed), as_much / (PERMUTATIONS + 1)


def within_speakers(shares, groups, speakers, seed=0):
    """As `within_utterances`, of a factor that an utterance has one group of: its emotion.

    Arguments
    ---------
    shares : np.ndarray
        (n, E)
    groups, speakers : sequence
        Of each utterance (n).
    """
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    speakers = np.unique(np.asarray(speakers), return_inverse=True)[1]
    one_hot = np.eye(groups.max() + 1)
    sizes = one_hot[groups].sum(axis=0)[:, None]
    chance, as_much = np.random.default_rng(seed), 1
    observed = spread(one_hot[groups].T @ shares / sizes)
    for _ in range(PERMUTATIONS):
        # sorted by speaker, in a random order within each, beside the order as it is
        mixed = np.lexsort((chance.random(len(groups)), speakers))
        changed = np.empty_like(groups)
        changed[np.argsort(speakers, kind="stable")] = groups[mixed]
        as_much += bool(spread(one_hot[changed].T @ shares / sizes) >= observed - 1e-12)
    return float(observed), as_much / (PERMUTATIONS + 1)


def table_of_use(uses):
    """Factor → (effect, p) for what a system's experts hear.

    Arguments
    ---------
    uses : list of Use
        Of one system.

    Returns
    -------
    dict
        ``"task"``, and ``"<task>: SNR"``, ``"<task>: level of the frame"``, ``"<task>: emotion"``.
    """
    found, tasks = {}, list(uses[0].shares) if uses else []
    if len(tasks) == 2:
        both = np.array([[use.shares[task] for task in tasks] for use in uses])
        found["task"] = within_utterances(both)
    for task in tasks:
        by_snr = complete(uses, task)
        if by_snr is not None:
            found[f"{task}: SNR"] = within_utterances(by_snr)
        by_level = np.array([use.by_level[task] for use in uses if use.by_level])
        if len(by_level):
            sums = by_level.sum(axis=2, keepdims=True)
            there = (sums > 0).all(axis=(1, 2))  # a pause, soft and loud frames
            if there.any():
                found[f"{task}: {', '.join(LEVELS)} frames"] = within_utterances(
                    by_level[there] / sums[there]
                )
        if len({use.label for use in uses}) > 1:
            # an utterance is one, under however many conditions it was heard
            whole = {}
            for use in uses:
                whole.setdefault((use.label, use.speaker, use.utterance), []).append(
                    use.shares[task]
                )
            labels, speakers, _ = zip(*whole)
            means = np.array([np.mean(shares, axis=0) for shares in whole.values()])
            found[f"{task}: emotion"] = within_speakers(means, labels, speakers)
    return found


def complete(uses, task):
    """Shares (n, SNRs, E) of what was heard at every SNR of a noise set; None without any."""
    snrs = sorted({use.condition[1] for use in uses if use.condition[0] is not None})
    rows = {}
    for use in uses:
        if use.condition[0] is not None:
            key = use.condition[0], use.utterance
            rows.setdefault(key, {})[use.condition[1]] = use.shares[task]
    whole = [[row[snr] for snr in snrs] for row in rows.values() if len(row) == len(snrs)]
    return np.array(whole) if whole and len(snrs) > 1 else None
