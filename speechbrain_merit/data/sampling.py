"""How often each utterance is drawn: shares of the sources, and classes evenly within a corpus.

A source is a corpus with emotion labels, or a folder of speech without. An epoch holds what a plan
says: groups of utterances, and how many draws each group has. A group is gone through in random
order, over as many epochs as that takes, before any of it comes again.
"""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import NamedTuple

from torch.utils.data import Sampler

from speechbrain_merit.data.mixing import generator
from speechbrain_merit.errors import PreparationError


class Group(NamedTuple):
    """Utterances that are drawn alike, and the number of draws in an epoch."""

    names: list
    draws: int


def plan(entries, sources, shares=None, balanced=False, passes=1):
    """The groups that an epoch of training is drawn from.

    Arguments
    ---------
    entries : dict
        ``{id: row}`` of all sources; a row without ``emo`` has no label.
    sources : dict
        ``{id: name of its source}``.
    shares : dict, optional
        ``{source: share}`` for every source, relative to each other; without, each source has as
        many draws as utterances.
    balanced : bool
        Whether the classes of a corpus are drawn equally often.
    passes : int
        Draws of each utterance with a label, in the mean over an epoch; the rest follows by shares.

    Returns
    -------
    list of Group

    Raises
    ------
    PreparationError
        A share is of a source that is not there, or not above 0; or a source has none.

    Example
    -------
    >>> entries = {"a": {"emo": "sad"}, "b": {"emo": "sad"}, "c": {"emo": "happy"}, "d": {}}
    >>> sources = {"a": "A", "b": "A", "c": "A", "d": "read"}
    >>> plan(entries, sources, {"A": 3, "read": 1}, balanced=True, passes=2)
    [Group(names=['a', 'b'], draws=3), Group(names=['c'], draws=3), Group(names=['d'], draws=2)]
    """
    by_source = defaultdict(list)
    for name in entries:
        by_source[sources[name]].append(name)
    draws = {source: passes * len(names) for source, names in by_source.items()}
    if shares:
        check_shares(shares, by_source)
        labelled = {s for s, names in by_source.items() if any("emo" in entries[n] for n in names)}
        fixed = labelled or set(by_source)
        total = sum(draws[source] for source in fixed) / sum(shares[source] for source in fixed)
        draws = {source: total * shares[source] for source in by_source}
    groups = []
    for source, names in by_source.items():
        classes = defaultdict(list)
        for name in names:
            classes[entries[name].get("emo") if balanced else None].append(name)
        each = draws[source] / len(classes)
        ends = [round(each * count) for count in range(len(classes) + 1)]  # their sum is exact
        counts = [max(1, end - start) for start, end in pairwise(ends)]
        groups += [Group(own, count) for own, count in zip(classes.values(), counts)]
    return groups


def check_shares(shares, sources):
    """Raises PreparationError unless there is a share above 0 for every source and no other."""
    known = ", ".join(sources)
    for source, share in shares.items():
        if source not in sources:
            raise PreparationError(
                f"source_shares: there is no {source}; the training has {known}. A name is that of "
                "a corpus or of one of speech_folders."
            )
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not number or not 0 < share < float("inf"):
            raise PreparationError(
                f"source_shares: {source} has {share!r}: give a number above 0, or leave the "
                "source out of the training."
            )
    missing = [source for source in sources if source not in shares]
    if missing:
        raise PreparationError(
            f"source_shares: {' and '.join(missing)} has none: give one for each of {known}."
        )


def uses(groups):
    """``{id: how often an epoch may hold it}``: each time with a mixture of its own.

    Where an epoch ends amid a round through a group, what comes late in one round may come early
    in the next.

    Example
    -------
    >>> uses([Group(["a", "b"], 4), Group(["c", "d"], 3)])
    {'a': 2, 'b': 2, 'c': 3, 'd': 3}
    """
    found = {}
    for names, draws in groups:
        rounds, amid = divmod(draws, len(names))
        found.update(dict.fromkeys(names, rounds + 2 * bool(amid)))
    return found


def class_counts(groups, entries, labels):
    """How often an epoch holds each class, in the mean over epochs.

    Example
    -------
    >>> entries = {"a": {"emo": "sad"}, "b": {"emo": "happy"}, "c": {}}
    >>> class_counts([Group(["a", "b"], 4), Group(["c"], 9)], entries, ["sad", "happy"])
    [2.0, 2.0]
    """
    counts = dict.fromkeys(labels, 0.0)
    for names, draws in groups:
        for name in names:
            if entries[name].get("emo") in counts:
                counts[entries[name]["emo"]] += draws / len(names)
    return list(counts.values())


class Draws(Sampler):
    """The indices of an epoch, by a plan, in random order; the same for the same seed and epoch.

    Arguments
    ---------
    ids : list of str
        The dataset's, ``<utterance>|<use>`` for each use of `uses`.
    groups : list of Group
        The plan.
    seed : int
        Of the run.

    Example
    -------
    >>> draws = Draws(["a|0", "b|0", "a|1", "b|1"], [Group(["a", "b"], 4)], seed=0)
    >>> draws.set_epoch(1)
    >>> sorted(draws)
    [0, 1, 2, 3]
    """

    def __init__(self, ids, groups, seed):
        self.place = {name: index for index, name in enumerate(ids)}
        self.groups, self.seed, self.epoch = groups, seed, 0

    def set_epoch(self, epoch):
        """Says which epoch comes."""
        self.epoch = epoch

    def __iter__(self):
        """Yields the indices."""
        rng, drawn = generator(self.seed, self.epoch, "draws"), []
        for number, (names, draws) in enumerate(self.groups):
            size, start, used = len(names), self.epoch * draws, Counter()
            for turn in range(start // size, -(-(start + draws) // size)):
                order = generator(self.seed, "turn", number, turn).permutation(size)
                here = slice(max(0, start - turn * size), start + draws - turn * size)
                for name in (names[index] for index in order[here]):
                    drawn.append(self.place[f"{name}|{used[name]}"])
                    used[name] += 1
        rng.shuffle(drawn)
        yield from drawn

    def __len__(self):
        """How many draws an epoch has."""
        return sum(group.draws for group in self.groups)
