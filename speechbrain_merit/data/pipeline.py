"""SpeechBrain datasets of mixtures: one for training, one for scoring under named conditions."""

import speechbrain as sb
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.encoder import CategoricalEncoder

KEYS = ["id", "mixture", "clean", "snr_db", "emotion"]


def label_encoder(labels):
    """The label encoder with the indices fixed by the order of ``labels``.

    Example
    -------
    >>> label_encoder(["angry", "sad"]).encode_label("sad")
    1
    """
    encoder = CategoricalEncoder()
    encoder.expect_len(len(labels))
    for index, label in enumerate(labels):
        encoder.enforce_label(label, index)
    return encoder


def training_set(entries, encoder, mixer, passes=1):
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

    items = {f"{name}|{index}": entry for index in range(passes) for name, entry in entries.items()}
    return DynamicItemDataset(items, [mixture, emotion_item(encoder)], KEYS)


def fixed_set(entries, encoder, mixer, conditions):
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
            "utterance": name,
            "noise_set": noise_set,
            "asked_snr_db": snr_db,
        }
        for noise_set, snr_db in conditions
        for name, entry in sorted(entries.items(), key=lambda item: -item[1]["duration"])
    }
    return DynamicItemDataset(items, [mixture, emotion_item(encoder)], KEYS)


def emotion_item(encoder):
    """The pipeline step from the label's name to its index."""

    @sb.utils.data_pipeline.takes("emo")
    @sb.utils.data_pipeline.provides("emotion")
    def emotion(name):
        return encoder.encode_label_torch(name)

    return emotion
