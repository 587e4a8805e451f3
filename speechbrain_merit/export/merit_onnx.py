"""Clean speech and emotions of recordings by ONNX Runtime: NumPy, onnxruntime, soundfile, no more.

    python merit_onnx.py call.wav talk.flac --out cleaned

prints the emotion of each recording with its probabilities, a line of JSON each, and writes clean
speech at 16 kHz to ``cleaned/call_enhanced.wav``, …. In Python:

    from merit_onnx import MeritOnnx
    merit = MeritOnnx("this folder")
    label, probabilities = merit.classify("call.wav")    # or a file object, or (samples, rate)
    clean = merit.enhance("call.wav")                    # float32 at 16 kHz

The folder holds ``emotion.onnx``, ``enhancement.onnx`` or both: a wave (1, S) at 16 kHz in, of any
S from 400 on, probabilities or the clean wave out; what else there is to know of them is in their
metadata. Recordings of any length are heard in the same overlapping windows as speechbrain_merit
hears them in, and give what its ``classify_file`` and ``enhance_file`` give. Whether anybody speaks
at all is not asked here: one of the labels is always the answer.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

RATE = 16000  # Hz
SHORTEST = 0.1  # seconds of a recording
RATES = range(1000, 1_000_001)  # Hz; others are those of damaged headers
# Of the windows: see speechbrain_merit.audio.windows.
HALF = 1 * RATE  # half of the overlap of two windows
FADE = round(0.1 * RATE)  # one fades into the other, this far to both sides of where they meet
AROUND = round(0.6 * RATE) + FADE  # of the middle of the overlap, in which they meet
# Of the channels: see speechbrain_merit.audio.channels.
BLOCK_SECONDS, PIECE_SECONDS, PIECES = 4.0, 0.05, 20
STEADY, NOTABLE, CANCELLED, ALIKE = 6.0, 1e-3, 0.5, 0.8
# Of the resampling: passed up to this share of the lower rate's half, as soxr does.
PASSED, STOPPED_DB = 0.9136, 122.0


class MeritOnnx:
    """The graphs of a folder.

    Arguments
    ---------
    folder : str or Path, optional
        Where the graphs are; unless given, beside this file.
    threads : int, optional
        That onnxruntime computes with; all cores unless given.
    providers : sequence of str
        Of onnxruntime.

    Attributes
    ----------
    about : dict
        What the graphs say of themselves: ``labels``, ``temperature``, ``level``, …
    """

    def __init__(self, folder=None, threads=None, providers=("CPUExecutionProvider",)):
        folder = Path(__file__).resolve().parent if folder is None else Path(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.sessions, self.about = {}, {}
        for task in ("emotion", "enhancement"):
            path = folder / f"{task}.onnx"
            if path.is_file():
                session = onnxruntime.InferenceSession(str(path), options, list(providers))
                self.sessions[task] = session
                stored = session.get_modelmeta().custom_metadata_map
                self.about = {key: json.loads(text) for key, text in stored.items()}
        if not self.sessions:
            raise ValueError(f"{folder}: holds neither emotion.onnx nor enhancement.onnx.")
        self.labels = self.about["labels"]

    def classify(self, sound):
        """The likeliest label of a recording, and a dict of the probability of each."""
        wave, shares, rows = load(sound), [], []
        for start, end, begin, stop in windows(len(wave), self.about["window_seconds"]):
            rows.append(self.run("emotion", "probabilities", wave[start:end])[0])
            shares.append(stop - begin)
        mean = np.average(rows, axis=0, weights=shares)
        return self.labels[int(mean.argmax())], dict(zip(self.labels, map(float, mean)))

    def enhance(self, sound):
        """The clean speech of a recording, float32 at 16 kHz."""
        wave, pieces, tail = load(sound), [], None
        for start, end, begin, stop in windows(len(wave), self.about["window_seconds"]):
            clean = self.run("enhancement", "enhanced", wave[start:end])[0]
            last = end == len(wave)
            piece = clean[begin - (0 if tail is None else AROUND) : stop - (0 if last else AROUND)]
            if tail is not None:
                piece[: 2 * AROUND] = faded(tail, piece[: 2 * AROUND])
            tail = clean[stop - AROUND : stop + AROUND].copy()
            pieces.append(piece)
        return np.concatenate(pieces)

    def run(self, task, output, wave):
        """An output of a graph for a wave (S)."""
        if task not in self.sessions or output not in (
            one.name for one in self.sessions[task].get_outputs()
        ):
            raise ValueError(f"This model has no {task} head.")
        return self.sessions[task].run([output], {"wave": wave[None]})[0]


def windows(count, seconds):
    """Start, end, and the part that counts, of the windows over so many samples.

    >>> [(a // RATE, b // RATE, c // RATE, d // RATE) for a, b, c, d in windows(21 * RATE, 10)]
    [(0, 10, 0, 9), (8, 18, 1, 9), (11, 21, 6, 10)]
    """
    length, start, done = int(seconds) * RATE, 0, 0
    while count - start > length:
        yield start, start + length, done - start, length - HALF
        done = start + length - HALF
        start += length - 2 * HALF
    if start:  # the last one reaches back, on a full second
        start = math.ceil((count - length) / RATE) * RATE
    yield start, count, done - start, count - start


def faded(old, new):
    """From ``old`` to ``new`` where they differ least."""
    total = np.concatenate([[0.0], np.cumsum(np.square((old - new).astype(np.float64)))])
    place = int((total[2 * FADE :] - total[: -2 * FADE]).argmin()) + FADE
    rise = np.zeros(len(old), np.float32)
    ramp = (np.arange(2 * FADE) + 0.5) / (2 * FADE)
    rise[place - FADE : place + FADE] = np.sin(ramp * np.pi / 2) ** 2
    rise[place + FADE :] = 1
    return old * (1 - rise) + new * rise


def load(sound):
    """One channel (S) at 16 kHz of a file, or of (samples, rate).

    Raises
    ------
    ValueError
        It cannot be read, is too short, or holds NaN.
    """
    samples, rate = sound if isinstance(sound, tuple) else read(sound)
    name = "the samples" if isinstance(sound, tuple) else getattr(sound, "name", sound)
    samples = scaled(np.asarray(samples), name)
    samples = samples[:, None] if samples.ndim == 1 else samples
    if rate not in RATES:
        raise ValueError(f"{name}: no recording that can be read: it has {rate} Hz.")
    if len(samples) < SHORTEST * rate:
        raise ValueError(f"{name}: lasts {1000 * len(samples) / rate:.0f} ms; 100 ms are needed.")
    if not np.isfinite(samples).all():
        raise ValueError(f"{name}: NaN or infinite samples.")
    return resampled(mixed(samples, int(rate)), int(rate))


def scaled(samples, name="the samples"):
    """Samples of full scale 1 in float32, of floats, or of int16 or int32 as recorders give them.

    >>> scaled(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype not in (np.int16, np.int32):
        raise ValueError(f"{name}: of {samples.dtype}; give floats, int16 or int32.")
    return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)


def read(file):
    """Samples (n, channels) and rate of a file, to its end whatever its header says."""
    try:
        with soundfile.SoundFile(file) as sound:
            blocks, size = [], round(BLOCK_SECONDS * sound.samplerate)
            sound.seekable = lambda: False  # some cannot, and soundfile does after each read
            while len(block := sound.read(size, dtype="float32", always_2d=True)):
                blocks.append(block)
            empty = np.zeros((0, sound.channels), np.float32)
            return np.concatenate([empty, *blocks]), sound.samplerate
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise ValueError(f"{getattr(file, 'name', file)}: cannot be read: {error}") from error


def mixed(samples, rate):
    """One channel: offsets off, the mean of all, or where these cancel each other, the strongest.

    >>> tone = np.sin(np.arange(8000) / 8).astype(np.float32)
    >>> bool(np.allclose(mixed(np.stack([tone, -tone], axis=1), 8000), tone, atol=1e-6))
    True
    """
    count, n_channels = samples.shape
    block = round(BLOCK_SECONDS * rate)
    piece = max(1, min(round(PIECE_SECONDS * rate), min(count, block) // PIECES))
    means, total, products = [], np.zeros(n_channels), np.zeros((n_channels, n_channels))
    for start in range(0, count, block):
        part = samples[start : start + block].astype(np.float64)
        total += part.sum(axis=0)
        products += np.einsum("nc,nd->cd", part, part)
        whole = part[: len(part) // piece * piece]
        means.append(whole.reshape(-1, piece, n_channels).mean(axis=1))
    means, mean = np.concatenate(means), total / count
    covariance = products / count - np.outer(mean, mean)
    powers = np.diag(covariance)
    error = means.std(axis=0) / np.sqrt(max(2, len(means)) - 1)
    steady = (np.abs(mean) > STEADY * error) & (np.abs(mean) > NOTABLE * np.sqrt(powers.clip(0)))
    offsets = np.where(steady & (len(means) > 1), mean, 0).astype(np.float32)
    if offsets.any():
        samples = samples - offsets
    if n_channels > 1 and covariance.mean() < CANCELLED * powers.sum() / n_channels**2:
        return samples[:, int((powers >= ALIKE * powers.max()).argmax())]
    return samples.mean(axis=1)


def resampled(wave, rate):
    """A wave (n) at 16 kHz, by a windowed sinc in as many phases as the two rates need.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32)
    >>> there = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    >>> float(np.abs(resampled(tone, 44100) - there)[400:-400].max()) < 1e-5
    True
    """
    if rate == RATE:
        return wave
    common = math.gcd(rate, RATE)
    up, down = RATE // common, rate // common
    lowest = min(rate, RATE) / 2  # Hz; from PASSED of it on the filter falls, and at it it is zero
    width = (1 - PASSED) * lowest / rate  # of the fall, in cycles a sample
    reach = math.ceil((STOPPED_DB - 8) / (2.285 * 2 * np.pi * width) / 2)  # Kaiser's rule
    cutoff = (1 + PASSED) * lowest / rate  # the middle of the fall, by half the rate of ``wave``
    padded = np.pad(wave, (reach, reach + down + 1))
    result = np.zeros(math.floor(len(wave) * RATE / rate + 0.5), np.float32)
    offsets = np.arange(1 - reach, reach + 1)
    for phase in range(min(up, len(result))):
        first, rest = divmod(phase * down, up)
        away = offsets - rest / up
        inside = np.sqrt(np.clip(1 - np.square(away / (reach + 1)), 0, None))
        beta = 0.1102 * (STOPPED_DB - 8.7)
        taps = cutoff * np.sinc(cutoff * away) * np.i0(beta * inside) / np.i0(beta)
        sections = np.lib.stride_tricks.sliding_window_view(padded[first + 1 :], len(taps))[::down]
        places = result[phase::up]
        places[:] = sections[: len(places)] @ taps.astype(np.float32)
    return result


def places(folder, paths):
    """Where the clean speech of each recording goes: over no other's, and over no recording.

    >>> [place.name for place in places("out", ["a/call.wav", "b/call.wav", "CALL.mp3"])]
    ['call_enhanced.wav', 'call_2_enhanced.wav', 'CALL_3_enhanced.wav']
    """
    taken, found = {os.path.realpath(path).casefold() for path in paths}, []
    for path in map(Path, paths):
        number, place = 1, Path(folder, f"{path.stem}_enhanced.wav")
        while os.path.realpath(place).casefold() in taken:
            number += 1
            place = Path(folder, f"{path.stem}_{number}_enhanced.wav")
        taken.add(os.path.realpath(place).casefold())
        found.append(place)
    return found


def main(arguments=None):
    """Runs the command line; 1 where a recording could not be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where clean speech is written")
    parser.add_argument("--model", type=Path, metavar="DIR", help="the folder (default: this one)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    options = parser.parse_args(arguments)
    merit, failed = MeritOnnx(options.model, options.threads), False
    for path, place in zip(options.files, places(options.out or "", options.files)):
        try:
            line = {"path": str(path)}
            if "emotion" in merit.sessions and merit.labels:
                line["emotion"], line["probabilities"] = merit.classify(path)
            if "enhancement" in merit.sessions and options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                line["enhanced_path"] = str(place)
                clean = merit.enhance(path)
                soundfile.write(line["enhanced_path"], clean, RATE, subtype="FLOAT")
            print(json.dumps(line, ensure_ascii=False), flush=True)
        except (ValueError, OSError, soundfile.SoundFileError) as error:
            print(error if str(path) in str(error) else f"{path}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
