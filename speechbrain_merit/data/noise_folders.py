"""Turns folders of noise recordings into noise manifests for train, valid and named test sets."""

import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import (
    SILENT,
    TOO_SHORT,
    inspect_files,
)
from speechbrain_merit.data.manifests import digest, escape, remember, rooted, skip, write_manifest
from speechbrain_merit.data.noise_sets import recordings
from speechbrain_merit.data.preparation import stop_if_too_many, write_skipped
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def prepare_noise(
    noise_train_folder,
    noise_valid_folder,
    noise_test_folders,
    save_folder,
    skip_prep=False,
):
    """Writes a noise manifest for train, for valid and for each test set.

    Folders are searched with all folders below them. Of MUSAN, ESC-50, DEMAND, WHAM!, the
    DNS-Challenge's noise and FSD50K, as published, each set takes its own part, without speech
    (see `noise_sets`). A recording longer than 30 s becomes several rows that point to sections of
    it; nothing is copied. Recordings that are silent or shorter than 0.1 s are left out and listed
    in ``skipped.csv``.

    Arguments
    ---------
    noise_train_folder, noise_valid_folder : str, Path or None
        Folders of recordings; both None where only tests are wanted.
    noise_test_folders : dict
        ``{name: folder}``, one for each test set; names of letters, digits, ``_`` and ``-``.
    save_folder : str or Path
        Where the manifests are written: ``noise_train.json``, ``noise_test_<name>.json``, …
    skip_prep : bool
        If True, nothing is done but naming the manifests.

    Returns
    -------
    dict
        ``{"train": Path, "valid": Path, "test": {name: Path}}``. A row is ``{"wav":
        "{noise_root}/cafe/x.wav", "start": s, "duration": s, "noise_type": "cafe"}``: the section
        from ``start`` on, in seconds, and the folder the file is in (in the noise folder itself:
        the file's name).

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    PreparationError
        If a folder is not set or holds no usable recording, a test set has an unsuitable name, or
        more than 5 % of a folder's files are broken.

    Example
    -------
    >>> import json, numpy as np, soundfile as sf
    >>> folder = Path(getfixture("tmpdir"))
    >>> (folder / "cafe").mkdir()
    >>> sf.write(folder / "cafe" / "x.wav", np.random.default_rng(0).normal(0, 0.1, 160000), 16000)
    >>> made = prepare_noise(folder, folder, {}, folder / "save")
    >>> rows = json.loads(made["train"].read_text())
    >>> rows["cafe/x.wav@0"]["duration"], rows["cafe/x.wav@0"]["noise_type"]
    (10.0, 'cafe')
    """
    folders, manifests = _sets(
        noise_train_folder, noise_valid_folder, noise_test_folders, Path(save_folder)
    )
    tests = {name: manifests[f"test_{name}"] for name in noise_test_folders}
    result = {"train": manifests.get("train"), "valid": manifests.get("valid"), "test": tests}
    if skip_prep:
        return result
    found = {name: _find(name, folder) for name, folder in folders.items()}
    files = {name: [recording.path for recording in own] for name, own in found.items()}
    _warn_of_overlap(folders, files)
    paths = list(manifests.values())
    options = {
        "folders": {name: str(folder.resolve()) for name, folder in folders.items()},
        "files": digest(files),
    }
    if skip("Noise", paths, options):
        logger.info(f"Noise: the manifests in {save_folder} are complete, kept.")
        return result
    remember("Noise", paths, None)

    entries, skipped, bad = {}, [], {}
    for name, paths_of_set in files.items():
        reports = inspect_files(paths_of_set, f"Noise {name}")
        entries[name] = _rows(found[name], reports, folders[name])
        left_out = _left_out(name, paths_of_set, reports)
        skipped += left_out
        bad[name] = sum(not reason.startswith((SILENT, TOO_SHORT)) for *_, reason in left_out)
    skipped_file = write_skipped(save_folder, [f"noise_{name}" for name in folders], skipped)
    stop_if_too_many(bad, {name: len(own) for name, own in files.items()}, skipped_file)
    for name, rows in entries.items():
        if not rows:
            raise PreparationError(
                f"{_key(name)}: none of the {len(files[name])} recordings in {folders[name]} can "
                f"be used; {skipped_file} says why."
            )
    for name, rows in entries.items():
        write_manifest(manifests[name], rows)
        seconds = sum(row["duration"] for row in rows.values())
        types = len({row["noise_type"] for row in rows.values()})
        logger.info(f"Noise {name}: {len(rows)} sections, {types} types, {seconds / 60:.1f} min")
    if skipped:
        logger.warning(f"Noise: {len(skipped)} recordings left out, listed in {skipped_file}.")
    remember("Noise", paths, options)
    return result


def _sets(train, valid, tests, save_folder):
    """Checks what the user passed; {set: folder} and {set: manifest}, test sets as test_<name>."""
    if not isinstance(tests, dict):
        raise PreparationError(
            f"noise_test_folders is {tests!r}: write it as a mapping, such as {{unseen: folder}}."
        )
    folders = {} if tests and train is valid is None else {"train": train, "valid": valid}
    for name, folder in tests.items():
        if not PLAIN_NAME.fullmatch(str(name)):
            raise PreparationError(
                f"noise_test_folders: the name {name!r} becomes part of file names: use letters, "
                f"digits, '_' and '-' only."
            )
        folders[f"test_{name}"] = folder
    for name, folder in folders.items():
        if not folder:
            raise PreparationError(f"{_key(name)} is not set: pass a folder of recordings.")
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{_key(name)}: there is no folder {folder}.")
    manifests = {name: save_folder / f"noise_{name}.json" for name in folders}
    return {name: Path(folder) for name, folder in folders.items()}, manifests


def _key(name):
    """The YAML key that a set comes from, for messages."""
    if name.startswith("test_"):
        return f"noise_test_folders[{name.removeprefix('test_')}]"
    return f"noise_{name}_folder"


def _find(name, folder):
    """The recordings of one set; of a published noise set, its part of them."""
    known, found = recordings(folder, name.split("_")[0])
    if known:
        logger.info(f"{_key(name)}: {folder} is {known}; {len(found)} recordings are its part.")
    if not found and known:
        raise PreparationError(
            f"{_key(name)}: {folder} is laid out as {known}, but its part for "
            f"{name.split('_')[0]} holds no audio files: complete it, or pass the folder inside it "
            "whose recordings you want."
        )
    if not found:
        raise PreparationError(f"{_key(name)}: {folder} holds no audio files.")
    return found


def _warn_of_overlap(folders, files):
    files = {name: {path.resolve() for path in found} for name, found in files.items()}
    for earlier in ("train", "valid"):  # what trains, and what the checkpoint is chosen on
        for name, found in files.items():
            if name in ("train", earlier) or found.isdisjoint(files.get(earlier, ())):
                continue
            logger.warning(
                f"{_key(name)} ({folders[name]}) and {_key(earlier)} ({folders[earlier]}) hold "
                f"the same recordings: results on it are not on unheard noise."
            )


def _rows(found, reports, folder):
    rows = {}
    for (path, kind), report in zip(found, reports):
        for start, duration in [] if report.problem else report.sections:
            rows[f"{path.relative_to(folder).as_posix()}@{start:g}"] = {
                "wav": rooted(path, folder, "noise_root"),
                "start": start,
                "duration": duration,
                "noise_type": escape(kind),
            }
    return rows


def _left_out(name, files, reports):
    rows = []
    for path, report in zip(files, reports):
        if report.problem:
            rows.append((f"noise_{name}", path, report.problem))
        else:
            for start, duration in report.silent_sections:
                reason = f"{SILENT} from {start:.2f} s to {start + duration:.2f} s"
                rows.append((f"noise_{name}", path, reason))
    return rows
