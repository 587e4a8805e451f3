"""SpeechBrain datasets of mixtures: one for training, one for scoring under named conditions."""

import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler

KEYS = ["id", "mixture", "clean", "snr_db", "emotion"]
N_BUCKETS = 20  # of like durations: little padding, and enough chance in what meets in a batch
NO_LABEL = -1  # index of an utterance without an emotion, where none is asked for


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
    passes : int
        How often an epoch holds each utterance, each time with a noise of its own.
    attributes : list of str
        Attributes of the rows to give, in this order.

    Returns
    -------
    DynamicItemDataset
    """

    @sb.utils.data_pipeline.takes("id", "wav")
    @sb.utils.data_pipeline.provides("mixture", "clean", "snr_db")
    def mixture(utterance, wav):
        mixed = mixer(utterance, wav)
        yield mixed.mixture
        yield mixed.clean
        yield mixed.snr_db

    items = {
        f"{name}|{index}": {**entry, "row": entry}
        for index in range(passes)
        for name, entry in entries.items()
    }
    return DynamicItemDataset(items, [mixture, *label_items(encoder, attributes)], keys(attributes))


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

    @sb.utils.data_pipeline.takes("utterance", "wav", "noise_set", "asked_snr_db")
    @sb.utils.data_pipeline.provides("mixture", "clean", "snr_db")
    def mixture(utterance, wav, noise_set, snr_db):
        mixed = mixer(utterance, wav, noise_set, snr_db)
        yield mixed.mixture
        yield mixed.clean
        yield mixed.snr_db

    items = {
        f"{name}|{noise_set}|{snr_db}": {
            **entry,
            "row": entry,
            "utterance": name,
            "noise_set": noise_set,
            "asked_snr_db": snr_db,
        }
        for noise_set, snr_db in conditions
        for name, entry in sorted(entries.items(), key=lambda item: -item[1]["duration"])
    }
    return DynamicItemDataset(items, [mixture, *label_items(encoder, attributes)], keys(attributes))


def keys(attributes):
    """What an item holds: ``attributes`` only where there are any, since SpeechBrain pads all."""
    return KEYS + ["attributes"] * bool(attributes)


def label_items(encoder, attributes):
    """The pipeline steps from a row to the index of its label, and to its attributes (A).

    An attribute that nobody rated is NaN. Without labels (``len(encoder) == 0``) the index is −1.
    """

    @sb.utils.data_pipeline.takes("row")
    @sb.utils.data_pipeline.provides("emotion")
    def emotion(row):
        if len(encoder) == 0:
            return torch.tensor([NO_LABEL])
        return encoder.encode_label_torch(row["emo"])

    @sb.utils.data_pipeline.takes("row")
    @sb.utils.data_pipeline.provides("attributes")
    def ratings(row):
        values = [row.get(name) for name in attributes]
        return torch.tensor([float("nan") if v is None else float(v) for v in values])

    return emotion, ratings
