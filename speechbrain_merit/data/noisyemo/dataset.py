"""A benchmark as a test set of the kind that every evaluation scores."""

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import DynamicItem

from speechbrain_merit.data.pipeline import keys, label_steps
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.labels import label_encoder

NO_NOISE = float("inf")  # dB


def benchmark_set(benchmark, labels, attributes=()):
    """The dataset of a benchmark; utterances of labels that a system does not know are an error.

    Arguments
    ---------
    benchmark : Benchmark
        From `reading`.
    labels : list of str
        Of the system; none where it names no emotions.
    attributes : list of str
        Of the system; no benchmark rates them.

    Raises
    ------
    SettingsError
        The system lacks a label.
    """
    lacking = [label for label in benchmark.labels if labels and label not in labels]
    if lacking:
        raise SettingsError(
            f"{benchmark.folder} holds {', '.join(lacking)}, and the system knows "
            f"{', '.join(labels)} alone: it cannot be scored on this benchmark."
        )
    items = {
        item.id: {
            "row": {"emo": item.label},
            "item": item,
            "emo": item.label,
            "utterance": item.utterance,
            "spk_id": item.speaker,
            "noise_set": item.noise_set,
            "asked_snr_db": item.snr_db,
            "duration": item.samples / 16000,
        }
        for item in benchmark.items + benchmark.beside
    }
    mixture = DynamicItem(["item"], Reading(benchmark), ["mixture", "clean", "snr_db"])
    steps = [mixture, *label_steps(label_encoder(labels), attributes)]
    return DynamicItemDataset(items, steps, keys(attributes))


class Reading:
    """Reads mixture (S), clean (S) and SNR in dB of an item."""

    def __init__(self, benchmark):
        self.benchmark = benchmark

    def __call__(self, item):
        """Both waves of an item, float32."""
        waves = (self.benchmark.noisy(item), self.benchmark.clean(item))
        snr = NO_NOISE if item.snr_db is None else float(item.snr_db)
        return *map(torch.from_numpy, waves), snr
