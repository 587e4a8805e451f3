"""SpeechBrain datasets of mixtures: one for training, one for scoring under named conditions."""

from collections.abc import Mapping

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.utils.data_pipeline import DynamicItem

from speechbrain_merit.labels import NO_LABEL

KEYS = ["id", "mixture", "clean", "snr_db", "emotion"]
N_BUCKETS = 20  # of like durations: little padding, and enough chance in what meets in a batch


def training_set(entries, encoder, mixer, passes=1, attributes=()):
    """The training dataset: each item is mixed anew by a TrainingMixer.

    Arguments
    ---------
    entries : dict
        Speech manifest ``{id: {"wav", "emo", "spk_id", …}}``, paths filled in.
    encoder : CategoricalEncoder
        Label encoder.
    mixer : TrainingMixer
        Draws the noise.
    passes : int or dict
        How often an epoch holds each utterance, or ``{id: how often}``, each time with a noise of
        its own.
    attributes : list of str
        Attributes of the rows to give, in this order.

    Returns
    -------
    DynamicItemDataset
    """
    if not isinstance(passes, dict):
        passes = dict.fromkeys(entries, passes)
    items = {
        f"{name}|{index}": {"section": (), **entry, "row": entry}
        for index in range(max(passes.values()))
        for name, entry in entries.items()
        if index < passes[name]
    }
    steps = [mixture_step(mixer, "id", "wav", "section"), *label_steps(encoder, attributes)]
    return DynamicItemDataset(items, steps, keys(attributes))


def batches_by_duration(dataset, max_seconds, crop_seconds=None, seed=0):
    """Batches of about equal seconds of audio, of utterances of like duration.

    Arguments
    ---------
    dataset : DynamicItemDataset
        From :func:`training_set`.
    max_seconds : float
        Of audio in a batch, padding left out; an utterance that is longer is a batch by itself.
    crop_seconds : float, optional
        Length that longer utterances are cut to.
    seed : int
        Seed of the order, with the epoch.

    Returns
    -------
    speechbrain.dataio.sampler.DynamicBatchSampler

    Example
    -------
    >>> from speechbrain_merit.labels import label_encoder
    >>> entries = {str(i): {"wav": "", "duration": 1.0 + i % 5} for i in range(100)}
    >>> dataset = training_set(entries, label_encoder([]), None)
    >>> batches = list(batches_by_duration(dataset, max_seconds=10))
    >>> sorted(index for batch in batches for index in batch) == list(range(100))
    True
    """
    longest = crop_seconds or float("inf")
    lengths = [min(dataset.data[name]["duration"], longest) for name in dataset.data_ids]
    return DynamicBatchSampler(
        dataset, max_seconds, num_buckets=N_BUCKETS, lengths_list=lengths, shuffle=True, seed=seed
    )


def fixed_set(entries, encoder, mixer, conditions, attributes=()):
    """The dataset for validation and test: every utterance under every condition, longest first.

    Arguments
    ---------
    entries : dict
        Speech manifest, paths filled in.
    encoder : CategoricalEncoder
        Label encoder.
    mixer : FixedMixer
        Gives the same mixture for the same utterance and condition, always.
    conditions : list
        Pairs (noise set, SNR in dB); (None, None) is clean.
    attributes : list of str
        Attributes of the rows to give, in this order.

    Returns
    -------
    DynamicItemDataset
        ``data[id]`` holds ``utterance``, ``noise_set`` and ``asked_snr_db``, both None for clean.
    """
    items = Crossed(entries, conditions)
    mixture = mixture_step(mixer, "utterance", "wav", "noise_set", "asked_snr_db")
    steps = [mixture, *label_steps(encoder, attributes)]
    return DynamicItemDataset(items, steps, keys(attributes))


class Crossed(Mapping):
    """Every utterance under every condition, longest first: id → item, made when it is asked for.

    Large test sets under many conditions are hundreds of thousands of items.

    Example
    -------
    >>> items = Crossed({"a": {"duration": 1.0}}, [(None, None), ("street", 5)])
    >>> list(items), items["a|street|5"]["asked_snr_db"]
    (['a|None|None', 'a|street|5'], 5)
    """

    def __init__(self, entries, conditions):
        self.entries = entries
        names = sorted(entries, key=lambda name: -entries[name]["duration"])
        self.places = {
            f"{name}|{noise_set}|{snr_db}": (name, noise_set, snr_db)
            for noise_set, snr_db in conditions
            for name in names
        }

    def __getitem__(self, key):
        """The item of an id."""
        name, noise_set, snr_db = self.places[key]
        row = self.entries[name]
        about = {"utterance": name, "noise_set": noise_set, "asked_snr_db": snr_db}
        return {**row, "row": row, **about}

    def __iter__(self):
        """The ids."""
        return iter(self.places)

    def __len__(self):
        """The number of items."""
        return len(self.places)


def keys(attributes):
    """What an item holds: ``attributes`` only where there are any, since SpeechBrain pads all."""
    return KEYS + ["attributes"] * bool(attributes)


def mixture_step(mixer, *taken):
    """The pipeline step from what a mixer takes to mixture (S), clean (S) and SNR in dB."""
    return DynamicItem(taken, Mixing(mixer), ["mixture", "clean", "snr_db"])


def label_steps(encoder, attributes):
    """The pipeline steps from a row to the index of its label, and to its attributes (A)."""
    index = DynamicItem(["row"], LabelIndex(encoder), ["emotion"])
    return index, DynamicItem(["row"], Ratings(attributes), ["attributes"])


# The steps are objects of these classes, not functions in functions: where workers are spawned (on
# macOS and Windows, and on Linux from Python 3.14 on), the dataset has to be pickled.


class Mixing:
    """Calls a mixer; gives mixture (S), clean (S) and SNR in dB."""

    def __init__(self, mixer):
        self.mixer = mixer

    def __call__(self, *taken):
        """What the mixer makes of an utterance."""
        mixed = self.mixer(*taken)
        return mixed.mixture, mixed.clean, mixed.snr_db


class LabelIndex:
    """The index (1) of a row's label; of a row without, or without labels at all, it is −1."""

    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, row):
        """The index of a row's label."""
        if len(self.encoder) == 0 or "emo" not in row:
            return torch.tensor([NO_LABEL])
        return self.encoder.encode_label_torch(row["emo"])


class Ratings:
    """The attributes (A) of a row; one that nobody rated is NaN."""

    def __init__(self, attributes):
        self.attributes = list(attributes)

    def __call__(self, row):
        """The attributes of a row."""
        values = [row.get(name) for name in self.attributes]
        return torch.tensor([float("nan") if v is None else float(v) for v in values])
