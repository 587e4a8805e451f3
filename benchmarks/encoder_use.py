"""How much of the enhancement comes from the encoder, in runs that are finished.

    python benchmarks/encoder_use.py RUN …

The enhancement head hears the noisy spectrum beside the frames that the encoder and its experts
give. Validation mixtures of each run at their lowest SNR are enhanced three times: as it is; with
every frame replaced by its utterance's mean frame, which says nothing about when; and by zeros.
Gains in segmental SNR (Loizou) and SI-SDR in dB, means over utterances. A head that is trained
without them may do better than one that loses them. Test speakers are not heard.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from speechbrain.dataio.batch import PaddedBatch

from speechbrain_merit.data.datasets import datasets
from speechbrain_merit.evaluation.enhancement import si_sdr
from speechbrain_merit.evaluation.segmental import ssnr
from speechbrain_merit.training.settings import load_finished, user_errors

#: What the head hears in place of its frames (1, T, D').
WAYS = {
    "as it is": lambda frames: frames,
    "mean frame": lambda frames: frames.mean(dim=1, keepdim=True).expand_as(frames),
    "zeros": torch.zeros_like,
}


def hearing(way):
    """A hook that changes the encoder's frames on their way into an enhancement head."""

    def change(head, arguments):
        wavs, lengths, frames, *others = arguments
        return wavs, lengths, way(frames), *others

    return change


@torch.inference_mode()
def gains(model, items):
    """Mean gains (segmental SNR, SI-SDR) over items of a validation set, each heard alone."""
    found = []
    for item in items:
        batch = PaddedBatch([item])
        enhanced = model(*batch.mixture, tasks=("se",)).waves
        waves = batch.clean.data, batch.mixture.data, enhanced
        clean, noisy, enhanced = (wave[0].numpy() for wave in waves)
        pairs = [(metric(clean, enhanced), metric(clean, noisy)) for metric in (ssnr, si_sdr)]
        if not any(None in pair for pair in pairs):
            found.append([after - before for after, before in pairs])
    return np.mean(found, axis=0)


def noisiest(valid_set):
    """The lowest SNR of a validation set, and the items that have it."""
    snrs = {key: entry["asked_snr_db"] for key, entry in valid_set.data.items()}
    lowest = min(snr for snr in snrs.values() if snr is not None)
    return lowest, [valid_set[i] for i, key in enumerate(valid_set.data_ids) if snrs[key] == lowest]


def main():
    """Prints a row for each run and way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    print("| run | SNR (dB) | the head hears | gain in segmental SNR (dB) | gain in SI-SDR (dB) |")
    print("|---|---|---|---|---|")
    for folder in parser.parse_args().runs:
        with user_errors():
            hparams, _ = load_finished(folder, ["--skip_test", "True"])
            snr, items = noisiest(datasets(hparams)[1])
        model = hparams["model"].eval()
        for name, way in WAYS.items():
            hook = model.enhancement.register_forward_pre_hook(hearing(way))
            cells = " | ".join(f"{gain:.2f}" for gain in gains(model, items))
            hook.remove()
            print(f"| {folder.name} | {snr} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
