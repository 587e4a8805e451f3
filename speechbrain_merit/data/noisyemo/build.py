"""Builds a benchmark's folder: noise first, then every utterance under every condition.

An utterance is one job. Its rows are kept in ``.parts/`` once its files are written, so that what
was interrupted goes on where it was; ``manifest.csv`` is written last. Built
again, a whole benchmark makes what is missing.
"""

import hashlib
import io
import json
import re
import shutil
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np
import soundfile as sf

from speechbrain_merit.data.exact import noises
from speechbrain_merit.data.exact.distortions import DISTORTIONS
from speechbrain_merit.data.exact.draws import Draws
from speechbrain_merit.data.exact.filters import RATE
from speechbrain_merit.data.exact.integers import fitted
from speechbrain_merit.data.exact.mixing import mixed, piece, without_gaps
from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.manifest import NAME, read_manifest, write_manifest
from speechbrain_merit.data.noisyemo.published import SUFFIXES, read_published, sha256
from speechbrain_merit.errors import AudioError, PreparationError
from speechbrain_merit.evaluation.parallel import ordered_map
from speechbrain_merit.writing import write_bytes, write_text

VERSION = 1  # raised with any change to a sample: old folders and hashes are of another test
RECORDINGS = 4  # of each own kind of noise
NOTE, PARTS = "benchmark.json", ".parts"
RECENT = 64  # recordings of noise that a process holds: 30 s are 1 MB
LEFT = re.compile(r"\.[0-9a-f]{32}\.part")  # what a killed process was writing


def build(settings, out, jobs=-1, only=None):
    """Builds a benchmark, or goes on building it.

    Arguments
    ---------
    settings : Settings
        What it is made of.
    out : str or Path
        Its folder.
    jobs : int
        Processes; −1 takes every core.
    only : sequence of str, optional
        Ids of the utterances that are wanted; the manifest then holds these alone.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    PreparationError
        The folder holds another benchmark, or a corpus or noise is not there.
    AudioError
        A file cannot be read.
    """
    out = Path(out)
    listed = utterances(settings)
    wanted = [row for row in listed["test"] if only is None or row.id in only]
    _claim(out, settings)
    recordings = noise_recordings(settings)
    title = f"NoisyEmo {settings.corpus}"
    voices = [str(row.path) for row in listed["valid"]]
    make_noise = partial(_noise_part, out=out, voices=voices)
    rows = _all(ordered_map(make_noise, recordings, jobs, f"{title}, noise"))
    by_set = {}
    for row in rows:
        by_set.setdefault(row["condition"], []).append(row["file"])
    make = partial(_utterance_part, out=out, settings=settings, noise=by_set)
    rows += _all(ordered_map(make, wanted, jobs, title))
    for path in out.rglob(".*.part"):
        if LEFT.fullmatch(path.name):
            path.unlink()
    write_manifest(out, rows)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return out


def noise_recordings(settings):
    """What noise is made of: triples (noise set, name, published file or None, its seconds)."""
    from speechbrain_merit.audio.inspection import find_audio  # follows links, heeds no hidden file

    found = [(kind, str(i), None, None) for kind in settings.noises for i in range(RECORDINGS)]
    for name, said in settings.folders.items():
        folder = Path(said["folder"]).expanduser()
        paths = find_audio(folder) if folder.is_dir() else []
        paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
        if not paths:
            raise PreparationError(f"Noise set {name}: {folder} holds no recordings.")
        unique = {path.relative_to(folder).with_suffix("").as_posix() for path in paths}
        if len(unique) < len(paths):
            raise PreparationError(f"Noise set {name}: {folder} holds a recording twice.")
        found += [
            (name, path.relative_to(folder).as_posix(), str(path), said.get("seconds"))
            for path in paths
        ]
    return found


def _claim(out, settings):
    """Says in the folder what it holds; raises where it holds something else."""
    content = settings._asdict()
    for key in ("data_folder", "source", "utterances"):
        content.pop(key)  # where things lie makes no sample another
    content["folders"] = {name: said.get("seconds") for name, said in settings.folders.items()}
    text = json.dumps({"version": VERSION, "rate": RATE, **content}, indent=1) + "\n"
    note = out / NOTE
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        raise PreparationError(
            f"{out} holds a benchmark of other settings or of another version ({NOTE}): give "
            "another --out."
        )
    if not note.is_file() and out.is_dir() and any(out.iterdir()):
        raise PreparationError(f"{out} holds other files: give an empty --out.")
    try:
        write_text(note, text)
    except OSError as error:
        raise PreparationError(f"--out {out} cannot be written: {error}") from error
    if (out / NAME).is_file():
        parts = {}
        for row in read_manifest(out):
            parts.setdefault(row["utterance"] or row["file"], []).append(row)
        for name, rows in parts.items():
            write_text(_part(out, name), json.dumps(rows))
        (out / NAME).unlink()


def _all(parts):
    return [row for part in parts for row in part]


def _kept(out, name, make):
    """The rows of a part: those of an earlier run whose files are there, or made anew."""
    part = _part(out, name)
    if part.is_file():
        rows = json.loads(part.read_text(encoding="utf-8"))
        if all((out / row["file"]).is_file() for row in rows):
            return rows
    rows = make()
    write_text(part, json.dumps(rows))
    return rows


def _part(out, name):
    # a digest: a/b and a_b are two names
    return out / PARTS / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def write_flac(path, samples):
    """Writes int16 samples as FLAC, whole or not at all."""
    made = io.BytesIO()  # a full disk is an error of the system's, not one of libsndfile's
    sf.write(made, samples, RATE, "PCM_16", format="FLAC")
    write_bytes(path, made.getvalue())


def read_flac(path):
    """The int16 samples of a file of a benchmark.

    Raises
    ------
    AudioError
        It is missing, cut or broken.
    """
    try:
        samples, rate = sf.read(path, dtype="int16")
    except (sf.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be read: {error}") from error
    if rate != RATE or samples.ndim != 1:
        raise AudioError(f"{path} is not mono at {RATE} Hz: build the benchmark again.")
    return samples


def _noise_part(recording, out, voices):
    """Makes a recording of noise; returns its row in a list."""
    kind, name, path, seconds = recording
    file = f"noise/{kind}/{Path(name).with_suffix('').as_posix()}.flac"

    def make():
        row = {"file": file, "kind": "noise", "condition": kind}
        if path is None:
            own = ()
            if kind == "babble":
                own, row["source_sha256"] = _voices(tuple(voices))
            samples = noises.recording(kind, int(name), own)
        else:
            samples, row["source_sha256"] = read_published(path, seconds)
            row["source"], samples = name, without_gaps(samples)
        write_flac(out / file, samples)
        return [{**row, "sha256": sha256(samples), "samples": len(samples)}]

    return _kept(out, file, make)


@cache
def _voices(paths):
    """The validation utterances, which the recordings of babble share, and what they are known by.

    That is the SHA-256 of the digests of all of them, as published.
    """
    found = [read_published(path) for path in paths]
    digest = hashlib.sha256("\n".join(one.sha256 for one in found).encode()).hexdigest()
    return [one.samples for one in found], digest


@lru_cache(RECENT)
def _noise(path):
    return read_flac(path)


def _utterance_part(utterance, out, settings, noise):
    """Makes every file of an utterance; returns their rows."""
    return _kept(out, utterance.id, lambda: list(_rows(utterance, out, settings, noise)))


def _rows(utterance, out, settings, noise):
    """Yield the row of each file of an utterance once it is written."""
    name = utterance.id
    clean, source = read_published(utterance.path)
    own = {"utterance": name, "speaker": utterance.speaker, "label": utterance.label}

    def row(file, kind, samples, **more):
        write_flac(out / file, samples)
        return {
            **{"file": file, "kind": kind, "sha256": sha256(samples), "samples": len(samples)},
            **own,
            **more,
        }

    origin = {"source": utterance.path.name, "source_sha256": source}
    yield row(f"clean/{name}.flac", "clean", clean, **origin)
    noisy, distorted = settings.conditions()
    for kind, snr in noisy:
        draws = Draws(settings.corpus, kind, name, snr)
        file = noise[kind][draws.integer(0, len(noise[kind]))]
        try:
            part = piece(_noise(out / file), len(clean), draws)
        except ValueError as error:
            raise AudioError(f"{out / file}: {error}") from error
        samples, factor = fitted(mixed(clean, part, snr))
        more = {"condition": kind, "level": snr, "factor": factor, "noise": file}
        yield row(f"{kind}/{snr}dB/{name}.flac", "noisy", samples, **more)
    for kind, severity in distorted:
        draws = Draws(settings.corpus, kind, name, severity)
        samples, factor = fitted(DISTORTIONS[kind](clean, severity, draws))
        more = {"condition": kind, "level": severity, "factor": factor}
        yield row(f"{kind}/{severity}/{name}.flac", "distorted", samples, **more)


def clean_part(samples, factor):
    """The clean speech as it is within a mixture that was made to fit: float64 of full scale 1."""
    return np.asarray(samples, dtype=np.float64) / 32768 * (int(factor or 32768) / 32768)
