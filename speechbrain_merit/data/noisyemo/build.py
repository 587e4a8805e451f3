"""Builds a benchmark's folder: noise first, then every utterance under every condition.

An utterance is one job. Its rows are kept in ``.parts/`` once its files are written, with a digest
of the recordings that they were made of, so that what was interrupted goes on where it was and what
has another recording since is made anew; ``manifest.csv`` is written last. Built again, a whole
benchmark makes what is missing.
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
from speechbrain_merit.data.noisyemo.compressed import CODECS, check_codecs, compressed
from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.manifest import (
    BESIDE,
    NAME,
    read_manifest,
    write_manifest,
)
from speechbrain_merit.data.noisyemo.published import (
    SUFFIXES,
    published_sha256,
    read_published,
    sha256,
)
from speechbrain_merit.errors import AudioError, PreparationError
from speechbrain_merit.evaluation.parallel import ordered_map
from speechbrain_merit.writing import write_bytes, write_text

VERSION = 1  # raised with any change to a sample: old folders and hashes are of another test
RECORDINGS = 4  # of each own kind of noise
NOTE, PARTS = "benchmark.json", ".parts"
RECENT = 64  # recordings of noise that a process holds: 30 s are 1 MB
LEFT = re.compile(r"\.[0-9a-f]{32}\.part")  # what a killed process was writing


def build(settings, out, jobs=-1, only=None, also=()):
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
    also : sequence of str
        Lossy codecs, ``opus`` and ``mp3``, whose rows stand beside the test.

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
    check_codecs(also)
    listed = utterances(settings)
    wanted = [row for row in listed["test"] if only is None or row.id in only]
    recordings = noise_recordings(settings)
    title = f"NoisyEmo {settings.corpus}"
    voices = tuple(str(row.path) for row in listed["valid"])
    known_by = _digest(map(published_sha256, voices)) if "babble" in settings.noises else ""
    # last of all that may fail: a whole benchmark stays one until it is begun anew
    also = tuple(dict.fromkeys([*_claim(out, settings), *also]))
    make_noise = partial(_noise_part, out=out, voices=voices, known_by=known_by)
    rows = _all(ordered_map(make_noise, recordings, jobs, f"{title}, noise"))
    by_set, made_of = {}, _of_noise(rows)
    for row in rows:
        by_set.setdefault(row["condition"], []).append(row["file"])
    make = partial(_utterance_part, out=out, settings=settings, noise=by_set, made_of=made_of)
    rows += _all(ordered_map(make, wanted, jobs, title))
    write_manifest(out, rows)  # the test is whole, whatever comes of what stands beside it
    if also:
        clean = [row for row in rows if row["kind"] == "clean"]
        code = partial(_codec_part, out=out, codecs=also)
        rows += _all(ordered_map(code, clean, jobs, f"{title}, {' and '.join(also)}"))
        write_manifest(out, rows)
    for path in out.rglob(".*.part"):
        if LEFT.fullmatch(path.name):
            path.unlink()
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
    """Says in the folder what it holds; raises where it holds something else.

    Returns the codecs whose rows stand beside the test by now.
    """
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
    if not (out / NAME).is_file():
        return []
    rows = read_manifest(out)
    _restore(out, rows)
    (out / NAME).unlink()
    return sorted({row["condition"] for row in rows if row["kind"] == BESIDE})


def _restore(out, rows):
    """Makes parts of the rows of a whole benchmark again."""
    parts = {}
    for row in rows:
        beside = row["kind"] == BESIDE
        name = _beside(row["utterance"]) if beside else row["utterance"] or row["file"]
        parts.setdefault(name, []).append(row)
    made_of = _of_noise(row for row in rows if row["kind"] == "noise")
    clean = {row["utterance"]: row for row in rows if row["kind"] == "clean"}
    for name, own in parts.items():
        first = own[0]
        if first["kind"] == "noise":
            source = first["source_sha256"]
        elif first["kind"] == BESIDE:
            named = dict.fromkeys(row["condition"] for row in own)
            source = _digest([clean[first["utterance"]]["sha256"], *sorted(named)])
        else:
            source = _digest([clean[name]["source_sha256"], made_of])
        _remember(out, name, source, own)


def _all(parts):
    return [row for part in parts for row in part]


def _kept(out, name, made_of, make):
    """The rows of a part: those of an earlier run whose files are there, or made anew.

    They count where they were made of the same: ``made_of`` is its digest.
    """
    part = _part(out, name)
    if part.is_file():
        said = json.loads(part.read_text(encoding="utf-8"))
        rows = said["rows"] if isinstance(said, dict) and said["made_of"] == made_of else []
        if rows and all((out / row["file"]).is_file() for row in rows):
            return rows
    rows = make()
    _remember(out, name, made_of, rows)
    return rows


def _remember(out, name, made_of, rows):
    write_text(_part(out, name), json.dumps({"made_of": made_of, "rows": rows}))


def _of_noise(rows):
    """What all recordings of noise are known by, whatever the order of their rows."""
    return _digest(sorted(f"{row['file']} {row['sha256']}" for row in rows))


def _digest(texts):
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


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


def _noise_part(recording, out, voices, known_by):
    """Makes a recording of noise; returns its row in a list.

    ``voices`` are paths of what babble is made of, ``known_by`` a digest of their digests.
    """
    kind, name, path, seconds = recording
    file = f"noise/{kind}/{Path(name).with_suffix('').as_posix()}.flac"
    if path is not None:
        source = published_sha256(path, seconds)
    else:
        source = known_by if kind == "babble" else ""

    def make():
        row = {"file": file, "kind": "noise", "condition": kind}
        if path is None:
            own = _voices(voices, known_by) if kind == "babble" else ()
            samples = noises.recording(kind, int(name), own)
        else:
            row["source"], samples = name, without_gaps(read_published(path, seconds).samples)
        if source:
            row["source_sha256"] = source
        write_flac(out / file, samples)
        return [{**row, "sha256": sha256(samples), "samples": len(samples)}]

    return _kept(out, file, source, make)


@cache
def _voices(paths, known_by):
    """The validation utterances, which the recordings of babble share."""
    return [read_published(path).samples for path in paths]


@lru_cache(RECENT)
def _noise(path, written):
    """A recording of noise; ``written`` tells it from what the file held before."""
    return read_flac(path)


def _utterance_part(utterance, out, settings, noise, made_of):
    """Makes every file of an utterance; returns their rows. ``made_of`` is the noise's digest."""
    source = _digest([published_sha256(utterance.path), made_of])
    return _kept(out, utterance.id, source, lambda: list(_rows(utterance, out, settings, noise)))


def _beside(utterance):
    """The name of the part of an utterance's rows beside the test."""
    return f"{utterance} {BESIDE}"


def _codec_part(clean, out, codecs):
    """Makes what lossy codecs leave of an utterance; returns the rows."""

    def make():
        samples, rows = read_flac(out / clean["file"]), []
        own = {key: clean[key] for key in ("utterance", "speaker", "label")}
        for codec in codecs:
            for severity in range(1, 1 + len(CODECS[codec][2])):
                file = f"{codec}/{severity}/{clean['utterance']}.flac"
                coded = compressed(samples, codec, severity)
                write_flac(out / file, coded)
                row = {"file": file, "kind": BESIDE, "sha256": sha256(coded), "samples": len(coded)}
                rows.append({**row, **own, "condition": codec, "level": severity})
        return rows

    source = _digest([clean["sha256"], *sorted(codecs)])
    return _kept(out, _beside(clean["utterance"]), source, make)


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
            whole = _noise(out / file, (out / file).stat().st_mtime_ns)
            part = piece(whole, len(clean), draws)
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
