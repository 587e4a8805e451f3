"""Do routers tell frames apart? The use of experts by task, SNR, emotion and loudness of the frame.

For each factor: how much of the spread of an expert's share over groups there is (the largest
difference between two groups' mean shares), and how often as much is found when the groups of what
is alike otherwise change places at random, those of one utterance for task, SNR and level, those of
one speaker for the emotion. A random router has every cause to differ by chance alone: its row says
what chance does.

The first expert of one network is not the first of another: shares are averaged within a run, and
what they differ by over the runs of a system.
"""

import itertools
from typing import NamedTuple

import numpy as np

from speechbrain_merit.evaluation.frame_levels import LEVELS

PERMUTATIONS = 999
FEW_GROUPS = 4  # whose orders, 24 at most, are all laid out


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


def use_of(row):
    """The :class:`Use` of a row of predictions."""
    return Use(
        row["utterance"],
        str(row["speaker"]),
        row["label"],
        (row["noise_set"], row["snr_db"]),
        {task: np.array(shares) for task, shares in row["experts"].items()},
        row.get("experts_by_level"),
    )


def chosen(experts):
    """Whether experts were chosen at all: where each hears every frame, their use tells nothing.

    Arguments
    ---------
    experts : dict
        Of a row: task → the share of frames that each expert heard.

    Example
    -------
    >>> chosen({"se": [0.2, 0.8]}), chosen({"se": [1.0, 1.0]}), chosen({"se": [1.0]})
    (True, False, False)
    """
    return any(min(shares) < 1 for shares in experts.values())


def spread(means):
    """The largest difference of an expert's share between two groups, of means (…, groups, E).

    Example
    -------
    >>> round(float(spread(np.array([[0.2, 0.8], [0.5, 0.5]]))), 3)
    0.3
    """
    return np.ptp(means, axis=-2).max(axis=-1)


def within_utterances(runs, seed=0):
    """Effect and p of a factor whose groups every utterance has.

    Arguments
    ---------
    runs : list of np.ndarray
        Of each run (n, groups, E): an utterance's share of each expert in each group.
    seed : int
        Of the permutations.

    Returns
    -------
    tuple
        `spread` of the means, averaged over the runs, and the share of permutations within
        utterances with as much.

    Example
    -------
    >>> shares = np.tile([[[0.9, 0.1], [0.1, 0.9]]], (20, 1, 1))
    >>> effect, p = within_utterances([shares, shares[..., ::-1]])
    >>> round(float(effect), 3), p
    (0.8, 0.001)
    """
    observed = np.mean([spread(shares.mean(axis=0)) for shares in runs])
    return effect_and_p(observed, [mixed_utterances(shares) for shares in runs], seed)


def within_speakers(runs, seed=0):
    """As `within_utterances`, of a factor that an utterance has one group of: its emotion.

    Arguments
    ---------
    runs : list of tuple
        Of each run: shares (n, E), the group and the speaker of each utterance (n).
    seed : int
        Of the permutations.
    """
    drawn, observed = zip(*(mixed_speakers(*run) for run in runs))
    return effect_and_p(np.mean(observed), drawn, seed)


def effect_and_p(observed, drawn, seed):
    """What was observed, and how often runs, each mixed by a function of a generator, show it."""
    chance, as_much = np.random.default_rng(seed), 1
    for _ in range(PERMUTATIONS):
        means = [spread(mixed(chance)) for mixed in drawn]
        as_much += bool(np.mean(means) >= observed - 1e-12)
    return float(observed), as_much / (PERMUTATIONS + 1)


def mixed_utterances(shares):
    """From a generator to the means (groups, E), the groups of each utterance in any order."""
    n, groups, _ = shares.shape
    if groups > FEW_GROUPS:

        def means(chance):
            order = chance.random((n, groups)).argsort(axis=1)
            return np.take_along_axis(shares, order[..., None], axis=1).mean(axis=0)

        return means
    orders = np.array([*itertools.permutations(range(groups))])
    every, rows = shares[:, orders], np.arange(n)
    return lambda chance: every[rows, chance.integers(len(orders), size=n)].mean(axis=0)


def mixed_speakers(shares, groups, speakers):
    """From a generator to the means (groups, E), those of a speaker mixed; and the true spread."""
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    speakers = np.unique(np.asarray(speakers), return_inverse=True)[1]
    one_hot, as_it_is = np.eye(groups.max() + 1), np.argsort(speakers, kind="stable")
    sizes = one_hot[groups].sum(axis=0)[:, None]

    def means(chance):
        # sorted by speaker, in a random order within each, beside the order as it is
        mixed = np.lexsort((chance.random(len(groups)), speakers))
        changed = np.empty_like(groups)
        changed[as_it_is] = groups[mixed]
        return one_hot[changed].T @ shares / sizes

    return means, spread(one_hot[groups].T @ shares / sizes)


def table_of_use(runs):
    """Factor → (effect, p) for what a system's experts hear.

    Arguments
    ---------
    runs : list of list of Use
        Of each run of one system.

    Returns
    -------
    dict
        ``"task"``, and ``"<task>: SNR"``, ``"<task>: level of the frame"``, ``"<task>: emotion"``.
    """
    found, tasks = {}, list(runs[0][0].shares) if runs else []
    if len(tasks) == 2:
        found["task"] = within_utterances([by_task(uses, tasks) for uses in runs])
    for task in tasks:
        factors = {
            "SNR": (within_utterances, complete),
            f"{', '.join(LEVELS)} frames": (within_utterances, by_level),
            "emotion": (within_speakers, by_emotion),
        }
        for factor, (tested, taken) in factors.items():
            groups = [own for uses in runs if (own := taken(uses, task)) is not None]
            if groups:
                found[f"{task}: {factor}"] = tested(groups)
    return found


def of_utterances(names, shares):
    """Means (utterances, groups, E) of shares (n, groups, E) by the names of the utterances (n).

    Under nine conditions an utterance is one still: what it sends to an expert in one of them it
    sends there in the others.
    """
    codes = np.unique(np.asarray(names), return_inverse=True)[1]
    sums = np.zeros((codes.max() + 1, *shares.shape[1:]))
    np.add.at(sums, codes, shares)
    return sums / np.bincount(codes)[:, None, None]


def by_task(uses, tasks):
    """Shares (n, tasks, E) of each utterance."""
    shares = np.array([[use.shares[task] for task in tasks] for use in uses])
    return of_utterances([use.utterance for use in uses], shares)


def by_level(uses, task):
    """Shares (n, levels, E) of what has a pause, soft and loud frames; None without any."""
    uses = [use for use in uses if use.by_level]
    shares = np.array([use.by_level[task] for use in uses])
    if not len(shares):
        return None
    sums = shares.sum(axis=2, keepdims=True)
    there = (sums > 0).all(axis=(1, 2))  # a pause, soft and loud frames
    names = np.array([use.utterance for use in uses])
    return of_utterances(names[there], shares[there] / sums[there]) if there.any() else None


def by_emotion(uses, task):
    """Shares (n, E), emotion and speaker of each utterance; None of a single emotion.

    An utterance is one, under however many conditions it was heard.
    """
    whole = {}
    for use in uses:
        whole.setdefault((use.label, use.speaker, use.utterance), []).append(use.shares[task])
    labels, speakers, _ = zip(*whole)
    means = np.array([np.mean(shares, axis=0) for shares in whole.values()])
    return (means, labels, speakers) if len({*labels}) > 1 else None


def complete(uses, task):
    """Shares (n, SNRs, E) of each utterance that a noise set has at every SNR; None without any."""
    snrs = sorted({use.condition[1] for use in uses if use.condition[0] is not None})
    rows = {}
    for use in uses:
        if use.condition[0] is not None:
            key = use.condition[0], use.utterance
            rows.setdefault(key, {})[use.condition[1]] = use.shares[task]
    whole = {key: [row[snr] for snr in snrs] for key, row in rows.items() if len(row) == len(snrs)}
    if not whole or len(snrs) < 2:
        return None
    return of_utterances([utterance for _, utterance in whole], np.array([*whole.values()]))
