"""Labels: their order is the order of the classes, everywhere."""

import torch
from speechbrain.dataio.encoder import CategoricalEncoder

from speechbrain_merit.errors import PreparationError

NO_SPEECH = "no_speech"  # what an analysis says where nobody is heard: no emotion's name
ARROW = " => "  # between a label and its index, in SpeechBrain's files of labels
NO_LABEL = -1  # index of an utterance without an emotion, where none is asked for


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


def class_weights(counts):
    """Weight N / (C · N_c) of each class c, from its number of utterances.

    Raises
    ------
    PreparationError
        A class has no utterance.

    Example
    -------
    >>> class_weights([2, 1, 1])
    tensor([0.6667, 1.3333, 1.3333])
    """
    counts = torch.as_tensor(counts, dtype=torch.float32)
    if (counts == 0).any():
        found = counts.tolist()
        raise PreparationError(f"A class has no training utterance (utterances: {found}).")
    return counts.sum() / (len(counts) * counts)
