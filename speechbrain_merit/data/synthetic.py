"""Makes and prepares MiniMERIT: synthetic emotional speech and noise for trying things out.

Nothing is downloaded: both are synthesised in seconds, the same bytes on every run (see
`synthetic_voices` and `synthetic_noises`), and kept for the next run.
"""

import json
from pathlib import Path

import numpy as np
import soundfile as sf
from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.preparation import check_labels, prepare_speech
from speechbrain_merit.data.splits import WantedLabels
from speechbrain_merit.data.synthetic_noises import NOISES
from speechbrain_merit.data.synthetic_voices import EMOTIONS, RATE, Voice, synthesise
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.writing import whole, write_text

logger = get_logger(__name__)

VERSION = 2  # raised with any change to the sound, so that old files are made again
SEED = 2026
MARKER = "minimerit.json"  # written last: without it, a folder is not complete

# Split: first speaker, speakers, utterances of each emotion by each speaker.
SPLITS = {"train": (1, 40, 4), "valid": (41, 4, 4), "test": (45, 6, 4)}
SECONDS = (1.2, 2.0)  # shortest and longest utterance

# Folder: recordings of each type in it. "seen" holds other recordings of the training types.
SEEN_TYPES, UNSEEN_TYPES = ("pink", "hum", "babble"), ("impulsive", "modulated")
NOISE_FOLDERS = {
    "train": (SEEN_TYPES, 8),
    "valid": (SEEN_TYPES, 2),
    "test_seen": (SEEN_TYPES, 3),
    "test_unseen": (UNSEEN_TYPES, 5),
}
NOISE_SECONDS = (4.0, 8.0)  # shortest and longest recording


def prepare_minimerit(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    skip_prep=False,
):
    """Synthesises the speech of MiniMERIT, unless it is there, and writes its manifests.

    Arguments
    ---------
    data_folder : str or Path
        Where the speech is kept: ``Speaker_NN/NN_emotion_KK.wav``, 16 kHz, 16 bit.
    save_json_train, save_json_valid, save_json_test : str or Path
        The manifests to write, with 640, 64 and 96 utterances of different speakers.
    labels : list of str
        Two or more of angry, sad, happy, neutral.
    merge_labels : dict, optional
        ``{label: label that it counts as}``.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    PreparationError
        If a label is none of the four, or the folder holds other recordings.

    Example
    -------
    >>> prepare_minimerit("mini", "train.json", "valid.json", "test.json", ["sad", "calm"])
    Traceback (most recent call last):
      ...
    speechbrain_merit.errors.PreparationError: labels: MiniMERIT has no 'calm'; it has \
angry, sad, happy, neutral.
    """
    if skip_prep:
        return
    check_labels(labels, list(EMOTIONS), "MiniMERIT", merge_labels)
    data_folder = Path(data_folder)
    utterances = _utterances()
    jobs = {row["file"]: row for row in utterances}
    _make(data_folder, jobs, _speak, "Synthesising MiniMERIT")
    wanted = WantedLabels(labels, merge_labels)
    rows = {split: {} for split in SPLITS}
    for row in utterances:
        label = wanted(row["emo"])
        if label is not None:
            rows[row["split"]][Path(row["file"]).stem] = {
                "wav": data_folder / row["file"],
                "emo": label,
                "spk_id": row["spk_id"],
                "gender": row["gender"],
            }
    wanted.report("MiniMERIT")
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_speech("MiniMERIT", data_folder, manifests, rows, labels)


def prepare_minimerit_noise(noise_folder):
    """Synthesises the noises of MiniMERIT, unless they are there: usable with every corpus.

    Arguments
    ---------
    noise_folder : str or Path
        Where they are kept: ``train/pink/pink_00.wav``, 16 kHz, 16 bit, 4 to 8 s each.

    Returns
    -------
    dict
        ``{"train": folder, "valid": folder, "test": {"seen": folder, "unseen": folder}}``, as
        `prepare_noise` takes them. ``seen`` holds other recordings of the training types (pink,
        hum, babble), ``unseen`` types held out of train and valid (impulsive, modulated).

    Example
    -------
    >>> folders = prepare_minimerit_noise(getfixture("tmpdir"))
    >>> sorted(path.name for path in folders["test"]["unseen"].iterdir())
    ['impulsive', 'modulated']
    """
    noise_folder = Path(noise_folder)
    jobs = {
        f"{folder}/{kind}/{kind}_{index:02d}.wav": kind
        for folder, (kinds, count) in NOISE_FOLDERS.items()
        for kind in kinds
        for index in range(count)
    }
    _make(noise_folder, jobs, _sound, "Synthesising noise")
    tests = {"seen": noise_folder / "test_seen", "unseen": noise_folder / "test_unseen"}
    return {"train": noise_folder / "train", "valid": noise_folder / "valid", "test": tests}


def _utterances():
    """One row for each utterance: file, split, emotion, speaker, gender."""
    rows = []
    for split, (first, speakers, repeats) in SPLITS.items():
        for number in range(first, first + speakers):
            for emotion in EMOTIONS:
                rows += [
                    {
                        "file": f"Speaker_{number:02d}/{number:02d}_{emotion}_{index:02d}.wav",
                        "split": split,
                        "emo": emotion,
                        "spk_id": f"{number:02d}",
                        "gender": "male" if number % 2 else "female",
                    }
                    for index in range(repeats)
                ]
    return rows


def _voice(speaker, gender):
    """The speaker's voice; pitch and length of the vocal tract go together only on average."""
    rng = np.random.default_rng([SEED, 0, int(speaker)])
    low, high, tract = (95, 150, 1.0) if gender == "male" else (165, 245, 1.16)
    return Voice(rng.uniform(low, high), tract * rng.uniform(0.96, 1.04), rng.uniform(0.03, 0.12))


def _speak(row, rng):
    voice = _voice(row["spk_id"], row["gender"])
    return synthesise(voice, EMOTIONS[row["emo"]], rng.uniform(*SECONDS), rng)


def _sound(kind, rng):
    return NOISES[kind](round(rng.uniform(*NOISE_SECONDS) * RATE), rng)


def _make(folder, jobs, render, desc):
    """Writes every file of `jobs` ({file: what to render}) unless all are there."""
    note = json.dumps({"version": VERSION, "seed": SEED, "files": len(jobs)}) + "\n"
    marker = folder / MARKER
    complete = marker.is_file() and marker.read_text(encoding="utf-8") == note
    if complete and all((folder / file).is_file() for file in jobs):
        return
    _check_folder(folder, jobs)
    marker.unlink(missing_ok=True)
    for index, (file, job) in enumerate(tqdm(jobs.items(), desc=desc)):
        # The file's own seed: its sound does not depend on what was rendered before it.
        wave = render(job, np.random.default_rng([SEED, 1, index]))
        _write_wav(folder / file, wave)
    write_text(marker, note)
    logger.info(f"{desc}: {len(jobs)} files in {folder}")


def _check_folder(folder, jobs):
    """Someone who forgot --corpus must not find 800 new files among the recordings of theirs."""
    own = {Path(file).parts[0] for file in jobs}
    for path in find_audio(folder) if folder.is_dir() else []:
        # MiniMERIT's speech and noise may lie side by side or one in the other.
        if path.relative_to(folder).parts[0] not in own | {"speech", "noise"}:
            raise PreparationError(
                f"{folder} holds other recordings ({path.name}), so MiniMERIT is not synthesised "
                f"into it: name the corpus they belong to by --corpus, or pass another folder."
            )


def _write_wav(path, wave):
    """Completely or not at all, so that two runs can share the folder."""
    with whole(path) as partial:
        # Only rare peaks of impulsive noise are above full scale at the RMS of all others.
        sf.write(partial, wave / max(1.0, np.abs(wave).max()), RATE, "PCM_16", format="WAV")
