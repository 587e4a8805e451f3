"""Our enhancement beside others', on the same mixtures of a test set.

    python benchmarks/enhancers.py --model pretrained/merit-tiny \
        --corpus RAVDESS --data_folder /path/to/RAVDESS \
        --noise_test_folders "{unseen: /path/to/ESC-10}" [--test_snrs "[-5, 0, 5, 10]"]

What follows the options named here are keys of ``hparams/merit.yaml``: test speakers, noises and
mixtures are those of ``evaluate.py`` with the same keys. Peers are in ``benchmarks/peers.py``; one
that is not installed is said and left out. Each is given the mixture at one level, and its delay,
which is measured on clean speech, is taken off. Prints a table of means over the utterances of each
SNR, and the real-time factor on one thread; ``clean`` is clean speech passed through.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from peers import PEERS, RATE, levelled

from speechbrain_merit.data.corpora import prepare_corpora
from speechbrain_merit.data.datasets import fixed_test_set, prepare_noise
from speechbrain_merit.errors import MeritError
from speechbrain_merit.evaluation.enhancement import score_utterances
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.training.settings import load, parse, user_errors

ROOT = Path(__file__).resolve().parents[1]
MOST_DELAY = RATE // 5  # samples
COLUMNS = ("pesq", "stoi", "si_sdr")
FORMAT = {"pesq": "{:.2f}", "stoi": "{:.3f}", "si_sdr": "{:.1f}"}


def ours(model):
    """The enhancement of a pretrained folder, as a peer."""
    merit = MeritInterface.from_hparams(model, run_opts={"device": "cpu"})
    return lambda wave: merit.enhance_batch(torch.from_numpy(wave)[None])[0].numpy()


def installed(names):
    """``{name: peer}`` of those that can be imported; the others are said."""
    peers = {}
    for name in names:
        try:
            peers[name] = PEERS[name]()
        except (ImportError, OSError, RuntimeError, TypeError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return peers


def delay_of(peer, speech):
    """By how many samples a peer is late, where its output on clean speech is most like the input.

    Example
    -------
    >>> speech = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    >>> delay_of(lambda wave: np.concatenate([np.zeros(384, np.float32), wave]), 0.1 * speech)
    384
    """
    output = levelled(peer, speech)
    size = 2 * max(len(output), len(speech))
    spectra = np.fft.rfft(output, size), np.fft.rfft(speech, size)
    likeness = np.fft.irfft(spectra[0] * spectra[1].conj())
    return int(likeness[:MOST_DELAY].argmax())


def aligned(peer, wave, delay):
    """What a peer makes of a wave, without its delay, as long as the wave."""
    output = levelled(peer, np.pad(wave, (0, delay)))[delay : delay + len(wave)]
    return np.pad(output, (0, len(wave) - len(output)))


def test_items(arguments, few):
    """Condition, clean wave and mixture of a test set's utterances, from the longest on.

    If but ``few`` of each condition: every n-th, so that some of the shortest may be missing.
    """
    with user_errors():
        hparams_file, _, given = parse([str(ROOT / "hparams" / "merit.yaml"), *arguments])
        given.setdefault("output_folder", "results/enhancers")
        hparams = load(hparams_file, {**given, "skip_test": False})
        prepare_corpora(hparams, ("test",))
        prepare_noise(hparams, tests_only=True)
        noise = prepare_noise({**hparams, "skip_prep": True}, tests_only=True)
        dataset = fixed_test_set(hparams, noise)
    by_condition = defaultdict(list)
    for index, name in enumerate(dataset.data_ids):
        row = dataset.data[name]
        condition = (row["noise_set"] or "clean", row["asked_snr_db"])
        by_condition[condition].append(index)
    for condition, indices in by_condition.items():
        step = max(1, len(indices) // few) if few else 1
        for index in indices[::step][: few or None]:
            item = dataset[index]
            yield condition, item["clean"].numpy(), item["mixture"].numpy()


def table(rows):
    """Markdown of ``{(enhancer, condition): [scores]}``."""
    conditions = list(dict.fromkeys(condition for _, condition in rows))
    noisy = [condition for condition in conditions if condition[1] is not None]
    heads = ["clean" if snr is None else f"{name}, {snr:g} dB" for name, snr in conditions]
    lines = ["| enhancer | " + " | ".join([*heads, "mean over SNRs"]) + " |"]
    lines.append("|---" * (len(heads) + 2) + "|")
    for name in dict.fromkeys(name for name, _ in rows):
        means = {c: mean(rows[name, c]) for c in conditions}
        overall = {
            key: np.mean([means[c][key] for c in noisy if means[c][key] is not None] or [np.nan])
            for key in COLUMNS
        }
        cells = [cell(values) for values in (*means.values(), overall)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean(scores):
    """The mean of each measure over utterances that have it; None where none has."""
    found = {key: [s[key] for s in scores if s[key] is not None] for key in COLUMNS}
    return {key: float(np.mean(values)) if values else None for key, values in found.items()}


def cell(values):
    """PESQ / STOI / SI-SDR.

    Example
    -------
    >>> cell({"pesq": 2.125, "stoi": 0.9, "si_sdr": None})
    '2.12 / 0.900 / –'
    """
    texts = ("–" if values[k] is None else FORMAT[k].format(values[k]) for k in COLUMNS)
    return " / ".join(texts)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", action="append", help="a pretrained folder (default: merit-tiny)"
    )
    parser.add_argument("--utterances", type=int, help="so many of each condition, not all")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    own, rest = parser.parse_known_args()
    torch.set_num_threads(1)
    models = own.model or [shipped_model()]
    enhancers = {Path(model).name: ours(model) for model in models} | installed(own.peers)
    try:
        items = list(test_items(rest, own.utterances))
    except MeritError as error:
        sys.exit(str(error))
    delays = {name: delay_of(peer, items[0][1]) for name, peer in enhancers.items()}
    rows, seconds = defaultdict(list), defaultdict(float)
    for name, peer in {"noisy": lambda wave: wave, **enhancers}.items():
        made = []
        for _, clean, noisy in items:
            start = time.process_time()
            made.append((clean, noisy, aligned(peer, noisy, delays.get(name, 0))))
            seconds[name] += time.process_time() - start
        for (condition, *_), scores in zip(items, score_utterances(made, RATE, n_jobs=1)):
            rows[name, condition].append(scores)
    print(table(rows))
    heard = sum(len(noisy) for *_, noisy in items) / RATE
    print(f"\n{len(items)} mixtures, {heard / 60:.1f} min. Delay and real-time factor:\n")
    for name in enhancers:
        print(f"- {name}: {delays[name] / RATE * 1000:.0f} ms, {seconds[name] / heard:.3f}")


if __name__ == "__main__":
    main()
