"""What a stream's latency costs: python benchmarks/latency.py [--data DIR] [--model DIR].

Utterances of one speaker follow each other with a second between them, in noise, and go
through ``MeritStream`` on one core. Printed for each latency: its window, hop and look-ahead;
SI-SDR and STOI of the utterances as they come out; F1-macro of the emotion that is shown, and of
the likeliest one, over tenths of a second within utterances, where ``no_speech`` is wrong; and the
real-time factor in processor time. Of RAVDESS's validation speakers, where --data (a folder with
speech/ and noise/) has them, or of synthetic voices and noise, of which the model knows nothing.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import soundfile as sf
import torch
from measure import machine
from sklearn.metrics import f1_score

from speechbrain_merit.data.synthetic_noises import NOISES
from speechbrain_merit.data.synthetic_voices import EMOTIONS, Voice, synthesise
from speechbrain_merit.evaluation.enhancement import si_sdr, stoi
from speechbrain_merit.export.loading import shipped_model
from speechbrain_merit.inference import MeritInterface, MeritStream

RATE = 16000
LATENCIES = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 10)
SNRS = (0, 10)
GAP = RATE  # samples between utterances
BLOCK = RATE // 100
STEP = RATE // 10  # samples that one label is compared for
SPEAKERS = range(17, 21)  # of RAVDESS, for validation
CODES = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"}
SILENT = 0.02  # of the loudest sample: less, before and after, is cut off an utterance


def real(data, per_speaker, rng):
    """Yields utterances of each speaker of RAVDESS, (wave, emotion) in random order."""
    for actor in SPEAKERS:
        paths = sorted((data / "speech" / "RAVDESS" / f"Actor_{actor}").glob("*.flac"))
        paths = [path for path in paths if path.name[6:8] in CODES]
        rng.shuffle(paths)
        yield [(sf.read(path, dtype="float32")[0], CODES[path.name[6:8]])
               for path in paths[:per_speaker]]  # fmt: skip


def synthetic(per_speaker, rng):
    """The same of voices that are synthesised."""
    for pitch in (95.0, 125.0, 180.0, 230.0):
        voice = Voice(pitch, tract=1.0 if pitch < 150 else 0.87, breath=0.05)
        names = [name for _ in range(per_speaker) for name in EMOTIONS][:per_speaker]
        rng.shuffle(names)
        yield [(synthesise(voice, EMOTIONS[n], rng.uniform(1.2, 2.0), rng), n) for n in names]


def trimmed(wave):
    """An utterance without the silence around it."""
    loud = np.flatnonzero(np.abs(wave) > SILENT * np.abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


def scene(utterances, noise, snr_db):
    """A stream: clean and noisy wave, and where each utterance lies with its emotion."""
    pieces, places, at = [], [], 0
    for wave, emotion in utterances:
        wave = trimmed(wave)
        wave = 0.05 * wave / np.sqrt((wave**2).mean())
        pieces += [np.zeros(GAP), wave]
        places.append((at + GAP, at + GAP + len(wave), emotion))
        at += GAP + len(wave)
    clean = np.concatenate([*pieces, np.zeros(GAP)]).astype(np.float32)
    noise = np.resize(noise, len(clean)).astype(np.float32)
    power = np.mean([(clean[a:b] ** 2).mean() for a, b, _ in places])
    gain = np.sqrt(power / (noise**2).mean() / 10 ** (snr_db / 10))
    return clean, clean + gain * noise, places


def streamed(merit, noisy, latency):
    """Enhanced wave, shown and likeliest emotion of each sample's step, processor seconds."""
    stream, chunks = MeritStream(merit, latency=latency), []
    start = time.process_time()
    for at in range(0, len(noisy), BLOCK):
        chunks += stream.push(noisy[at : at + BLOCK])
    chunks += stream.finish()
    seconds = time.process_time() - start
    enhanced = torch.cat([chunk.enhanced for chunk in chunks]).numpy()
    assert len(enhanced) == len(noisy)
    shown = np.repeat([c.emotion for c in chunks], [len(c.enhanced) for c in chunks])
    likely = [max(c.probabilities, key=c.probabilities.get) if c.speech else c.emotion
              for c in chunks]  # fmt: skip
    return enhanced, shown, np.repeat(likely, [len(c.enhanced) for c in chunks]), seconds


def score(merit, scenes, latency):
    """A row of the table."""
    sdrs, stois, truth, shown, likely, seconds, total = [], [], [], [], [], 0.0, 0.0
    for clean, noisy, places in scenes:
        enhanced, labels, guesses, taken = streamed(merit, noisy, latency)
        seconds, total = seconds + taken, total + len(noisy) / RATE
        for begin, end, emotion in places:
            pair = clean[begin:end], enhanced[begin:end]
            sdrs.append(si_sdr(*pair))
            stois.append(stoi(*pair))
            at = np.arange(begin, end, STEP)
            truth += [emotion] * len(at)
            shown += labels[at].tolist()
            likely += guesses[at].tolist()
    f1 = [f1_macro(truth, found) for found in (shown, likely)]
    stois = [value for value in stois if value is not None]
    return np.mean(sdrs), np.mean(stois), *f1, seconds / total


def f1_macro(truth, found):
    """Mean F1 over the emotions; ``no_speech`` is none of them."""
    return f1_score(truth, found, labels=sorted(set(truth)), average="macro", zero_division=0.0)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with speech/RAVDESS and noise/ambient")
    parser.add_argument("--model", help="a pretrained folder (default: the one that ships)")
    parser.add_argument("--utterances", type=int, default=12, help="of each speaker (default: 12)")
    parser.add_argument("--latencies", type=float, nargs="+", default=LATENCIES, metavar="SECONDS")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    merit = MeritInterface.from_hparams(
        arguments.model or shipped_model(), run_opts={"device": "cpu"}
    )
    rng = np.random.default_rng(0)
    if arguments.data:
        speakers = list(real(arguments.data, arguments.utterances, rng))
        paths = sorted((arguments.data / "noise" / "ambient" / "valid").glob("*.flac"))
        noises = [sf.read(path, dtype="float32")[0] for path in paths]
    else:
        speakers = list(synthetic(arguments.utterances, rng))
        noises = [NOISES[name](20 * RATE, rng) for name in ("pink", "hum", "babble")]
    scenes = [
        scene(utterances, noises[(index + row * len(speakers)) % len(noises)], snr)
        for row, snr in enumerate(SNRS)
        for index, utterances in enumerate(speakers)
    ]
    seconds = sum(len(noisy) for _, noisy, _ in scenes) / RATE
    count = sum(len(places) for _, _, places in scenes)
    print(
        f"{machine()}: {seconds:.0f} s, {count} utterances at {' and '.join(map(str, SNRS))} dB\n"
    )
    noisy = [np.mean([f(c[a:b], n[a:b]) for c, n, places in scenes for a, b, _ in places])
             for f in (si_sdr, stoi)]  # fmt: skip
    print("| latency (s) | window (s) | hop (s) | look-ahead (s) | SI-SDR (dB) | STOI | "
          "F1, shown | F1, likeliest | real-time factor |")  # fmt: skip
    print("| --- " * 9 + "|")
    print(f"| noisy | | | | {noisy[0]:.1f} | {noisy[1]:.3f} | | | |", flush=True)
    for latency in arguments.latencies:
        plan = MeritStream(merit, latency=latency).plan
        spans = [f"{n / RATE:.2f}" for n in (plan.length, plan.hop, plan.look_ahead)]
        sdr, intelligible, shown, likely, factor = score(merit, scenes, latency)
        print(
            f"| {latency:g} | {' | '.join(spans)} | {sdr:.1f} | {intelligible:.3f} | {shown:.3f} | "
            f"{likely:.3f} | {factor:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
