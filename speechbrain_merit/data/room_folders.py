"""Turns a folder of room impulse responses into a manifest."""

import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.inspection import find_audio, inspect_files
from speechbrain_merit.data.manifests import digest, remember, rooted, skip, write_manifest
from speechbrain_merit.data.preparation import stop_if_too_many, write_skipped
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

SOURCE = (
    "Room impulse responses can be had at https://www.openslr.org/28/: unpack rirs_noises.zip and "
    "pass RIRS_NOISES as --rir_folder"
)
# OpenSLR 28 holds recordings of noise among the responses, and says so in their names.
NOISE = re.compile(r"noise", re.IGNORECASE)
MIN_SECONDS = 0.01  # the direct sound and a first reflection
SET = "rooms"


def prepare_rooms(rir_folder, save_folder, skip_prep=False):
    """Writes the manifest of a folder of room impulse responses.

    Arguments
    ---------
    rir_folder : str or Path
        Searched with all folders below, for any format, rate and number of channels. Files with
        ``noise`` in their names are passed over.
    save_folder : str or Path
        Where ``rooms.json`` is written.
    skip_prep : bool
        If True, nothing is done but naming the manifest.

    Returns
    -------
    Path
        The manifest: ``{"wav": "{rir_root}/a.wav", "duration": s}`` for each response.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    PreparationError
        If it holds no response, or more than 5 % of them cannot be used.

    Example
    -------
    >>> import numpy as np, soundfile as sf
    >>> folder = Path(getfixture("tmpdir"))
    >>> sf.write(folder / "hall.wav", np.exp(-np.arange(1600) / 100.0), 16000)
    >>> prepare_rooms(folder, folder / "save").name
    'rooms.json'
    """
    manifest = Path(save_folder) / "rooms.json"
    if skip_prep:
        return manifest
    folder = Path(rir_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"rir_folder: there is no folder {folder}. {SOURCE}.")
    files = [path for path in find_audio(folder) if not NOISE.search(path.stem)]
    if not files:
        raise PreparationError(f"rir_folder: {folder} holds no impulse responses. {SOURCE}.")
    options = {"folder": str(folder.resolve()), "files": digest({SET: files})}
    if skip("Rooms", [manifest], options):
        return manifest
    remember("Rooms", [manifest], None)
    reports = inspect_files(files, "Rooms", MIN_SECONDS)
    bad = [(SET, path, r.problem) for path, r in zip(files, reports) if r.problem]
    skipped_file = write_skipped(save_folder, [SET], bad)
    stop_if_too_many({SET: len(bad)}, {SET: len(files)}, skipped_file)
    rows = {
        path.relative_to(folder).as_posix(): {
            "wav": rooted(path, folder, "rir_root"),
            "duration": report.duration,
        }
        for path, report in zip(files, reports)
        if not report.problem
    }
    write_manifest(manifest, rows)
    logger.info(f"Rooms: {len(rows)} impulse responses")
    remember("Rooms", [manifest], options)
    return manifest
