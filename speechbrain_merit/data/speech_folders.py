"""Speech without emotion labels: folders of recordings that train the enhancement alone.

A folder that is the root of LibriSpeech, VCTK, VoiceBank or the DNS-Challenge gives its clean
training speech; every other one is taken whole. What is no clean target (see `speech_quality`) is
left out and listed.
"""

import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import SILENT, TOO_SHORT, find_audio
from speechbrain_merit.audio.reading import read_audio
from speechbrain_merit.audio.speech_presence import holds_speech, speech_frames
from speechbrain_merit.data.manifests import digest, escape, remember, rooted, skip, write_manifest
from speechbrain_merit.data.noise_folders import PLAIN_NAME
from speechbrain_merit.data.preparation import stop_if_too_many, write_skipped
from speechbrain_merit.data.speech_quality import CLIPPED, NOISY, inspect_speech_files
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

logger = get_logger(__name__)

MIN_SECONDS = 0.5  # shorter, a recording holds hardly a word
ASKED = 20  # recordings of a folder in which somebody is listened for
#: Of the DNS-Challenge, in its repository or one of its archives.
DNS_PLACES = ("datasets/clean", "datasets_fullband/clean_fullband", "clean_fullband")
#: What lies in such a place beside read speech: CREMA-D, whose actors may be a test's, and singing.
DNS_OTHERS = re.compile(r"(emotional_speech|vocalset|singing).*", re.IGNORECASE)
#: The second microphone of a VCTK recording holds what the first one does.
VCTK_SECOND = re.compile(r".*_mic2", re.IGNORECASE)
LIBRISPEECH = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
#: How the files of these sets name the speaker: 1034-121119-0000, p225_001_mic1, …_reader_06709_0
SPEAKER = re.compile(r"(?P<libri>\d+)-\d+-\d+|(?P<vctk>p\d+|s5)_\d+.*|.*_reader_(?P<dns>\d+)_.*")


def prepare_speech_folders(folders, save_folder, skip_prep=False):
    """Writes a manifest for each folder of speech without labels.

    Arguments
    ---------
    folders : dict
        ``{name: folder}``; names of letters, digits, ``_`` and ``-``.
    save_folder : str or Path
        Where ``speech_<name>.json`` and ``skipped.csv`` are written.
    skip_prep : bool
        If True, nothing is done but naming the manifests.

    Returns
    -------
    dict
        ``{name: Path}``. A row is ``{"wav", "section": [start, duration], "duration", "spk_id",
        "corpus": name}``, seconds; a recording longer than 30 s has several.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    PreparationError
        If a folder holds no recordings, no speech or none that is clean, or more than 5 % of its
        files are broken.

    Example
    -------
    >>> prepare_speech_folders({"mine": "nowhere"}, "save")
    Traceback (most recent call last):
      ...
    FileNotFoundError: speech_folders[mine]: there is no folder nowhere.
    """
    if not isinstance(folders, dict):
        raise PreparationError(
            f"speech_folders is {folders!r}: write it as a mapping, such as {{vctk: folder}}."
        )
    for name in folders:
        if not PLAIN_NAME.fullmatch(str(name)):
            raise PreparationError(
                f"speech_folders: the name {name!r} becomes part of file names: use letters, "
                f"digits, '_' and '-' only."
            )
    manifests = {name: Path(save_folder) / f"speech_{name}.json" for name in folders}
    if not skip_prep:
        for name, folder in folders.items():
            prepare_one(name, folder, manifests[name])
    return manifests


def prepare_one(name, folder, manifest):
    """Writes the manifest of one folder."""
    key = f"speech_folders[{name}]"
    if not folder or not Path(folder).is_dir():
        raise FileNotFoundError(f"{key}: there is no folder {folder}.")
    folder = Path(folder)
    known, found = recordings(folder)
    if known:
        logger.info(f"{key}: {folder} is {known}; {len(found)} recordings are for training.")
    if not found:
        raise PreparationError(f"{key}: {folder} holds no audio files{known and ' for training'}.")
    split, kept = f"speech_{name}", f"Speech {name}"
    options = {"folder": str(folder.resolve()), "files": digest({split: found})}
    if skip(kept, [manifest], options):
        return
    remember(kept, [manifest], None)
    reports = inspect_speech_files(found, kept, MIN_SECONDS)
    left_out = [(split, path, r.problem) for path, r in zip(found, reports) if r.problem]
    skipped_file = write_skipped(manifest.parent, [split], left_out)
    whole = (NOISY, CLIPPED, SILENT, TOO_SHORT)  # not broken
    broken = sum(not reason.startswith(whole) for *_, reason in left_out)
    stop_if_too_many({split: broken}, {split: len(found)}, skipped_file)
    good = [(path, report) for path, report in zip(found, reports) if not report.problem]
    if not good:
        raise PreparationError(
            f"{key}: none of the {len(found)} recordings in {folder} is clean; {skipped_file} says "
            "why. They would teach the network to leave noise in."
        )
    require_speech(key, folder, good)
    rows = {}
    for path, report in good:
        for start, duration in report.sections:
            rows[f"{name}/{path.relative_to(folder).as_posix()}@{start:g}"] = {
                "wav": rooted(path, folder, "speech_root"),
                "section": [start, duration],
                "duration": duration,
                "spk_id": escape(f"{name}/{speaker(path, folder)}"),
                "corpus": name,
            }
    write_manifest(manifest, rows)
    hours = sum(row["duration"] for row in rows.values()) / 3600
    speakers = len({row["spk_id"] for row in rows.values()})
    logger.info(f"{kept}: {len(good)} recordings, {speakers} speakers or folders, {hours:.2f} h")
    if left_out:
        logger.warning(f"{kept}: {len(left_out)} files left out, listed in {skipped_file}.")
    remember(kept, [manifest], options)


def recordings(folder):
    """The set that a folder is recognised as, or "", and its recordings for training.

    Example
    -------
    >>> root = Path(getfixture("tmpdir"))
    >>> for name in ("train-clean-100", "test-clean"):
    ...     (root / name / "19" / "198").mkdir(parents=True)
    ...     (root / name / "19" / "198" / "19-198-0000.flac").touch()
    >>> name, found = recordings(root)
    >>> name, [path.parts[-4] for path in found]
    ('LibriSpeech', ['train-clean-100'])
    """
    parts = sorted(path for path in folder.glob("*-*") if LIBRISPEECH.fullmatch(path.name))
    subsets = [path for path in parts if path.is_dir() and path.name.startswith("train")]
    if any(path.is_dir() for path in parts):
        return "LibriSpeech", [path for subset in subsets for path in find_audio(subset)]
    for place in ("wav48_silence_trimmed", "wav48"):
        if (folder / place).is_dir():
            found = find_audio(folder / place)
            return "VCTK", [path for path in found if not VCTK_SECOND.fullmatch(path.stem)]
    voices = sorted(folder.glob("clean_trainset_*wav"))
    if voices:
        return "VoiceBank", [path for voice in voices for path in find_audio(voice)]
    in_datasets = ("clean",) if (folder / "noise").is_dir() else ()
    for place in (*DNS_PLACES, *in_datasets):
        if (folder / place).is_dir():
            return "the DNS-Challenge", dns_speech(folder / place)
    return "", find_audio(folder)


def dns_speech(folder):
    """The read speech in a clean folder of the DNS-Challenge; the rest is counted in the log.

    Example
    -------
    >>> root = Path(getfixture("tmpdir"))
    >>> for name in ("read_speech", "emotional_speech", "VocalSet_48kHz_mono"):
    ...     (root / name).mkdir()
    ...     (root / name / "x.wav").touch()
    >>> [path.parent.name for path in dns_speech(root)]
    ['read_speech']
    """
    found = find_audio(folder)
    speech = [p for p in found if not DNS_OTHERS.fullmatch(p.relative_to(folder).parts[0])]
    if len(speech) < len(found):
        logger.warning(
            f"{folder}: {len(found) - len(speech)} recordings of CREMA-D and of singing are not "
            "taken: emotional_speech and VocalSet are no read speech."
        )
    return speech


def speaker(path, folder):
    """Who speaks, as far as a file's name or its folder tell: for babble of other voices.

    Example
    -------
    >>> [speaker(Path(f"x/{name}.wav"), Path("x")) for name in ("p225_001_mic1", "anna/1", "2")]
    ['p225', 'anna', '2']
    """
    match = SPEAKER.fullmatch(path.stem)
    if match:
        return next(name for name in match.groups() if name)
    return path.stem if path.parent == folder else path.parent.relative_to(folder).as_posix()


def require_speech(key, folder, good):
    """Raises PreparationError where nobody speaks in most of a few recordings of a folder."""
    some = good[:: max(1, len(good) // ASKED)][:ASKED]
    silent = [path for path, report in some if not speaks(path, report.sections[0])]
    if len(silent) > len(some) / 2:
        raise PreparationError(
            f"{key}: {folder} holds no speech: in {len(silent)} of {len(some)} of its recordings, "
            f"{silent[0].name} among them, nobody was heard. Give a folder of clean speech."
        )


def speaks(path, section):
    """Whether somebody speaks in a section of a recording."""
    start, duration = section
    wave = read_audio(path, SAMPLE_RATE, start, duration)
    return holds_speech(speech_frames(wave[None])[0], 0.0, duration)
