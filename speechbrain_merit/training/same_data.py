"""A run that goes on hears what it began with, wherever that lies by now."""

import hashlib
import json
from contextlib import contextmanager, nullcontext
from pathlib import Path

from speechbrain_merit.data.datasets import prepare
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.writing import write_bytes, write_text

#: In ``save_folder``: the digests of the manifests with which a run began.
HEARD = "heard.json"


def prepare_alike(hparams):
    """Prepares the data of a run; of one that goes on, these have to be what they were.

    The manifests name recordings from the root of their folder on, so that they are the same after
    a move. The test set may be another one: it is scored and not learnt from.

    Arguments
    ---------
    hparams : dict
        Of the run.

    Raises
    ------
    SettingsError
        The run has a checkpoint, and its recordings, splits or labels are others by now.
    """
    record = Path(hparams["save_folder"]) / HEARD
    goes_on = any(record.parent.glob("CKPT*"))
    known = record.is_file()
    began = json.loads(record.read_text(encoding="utf-8")) if known else manifests(hparams)
    with as_it_was(record.parent) if goes_on else nullcontext():
        prepare(hparams)
        found = manifests(hparams)
        changed = sorted(name for name in began if found.get(name) != began[name])
        if goes_on and changed:
            raise SettingsError(
                f"{record.parent} holds a run that began with other recordings, splits or labels: "
                f"{', '.join(changed)} would change. Give the folders it began with, or another "
                "--output_folder to start anew."
            )
    if not (goes_on and known):
        write_text(record, json.dumps(found, indent=2) + "\n")


@contextmanager
def as_it_was(folder):
    """Puts back what a preparation writes into a folder where it ends in an error.

    A run that is not to go on with other data is not to be scored on them either.
    """
    paths = [path for kind in ("*.json", "*.csv") for path in folder.rglob(kind)]
    paths = [path for path in paths if not path.relative_to(folder).parts[0].startswith("CKPT")]
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if not path.is_file() or path.read_bytes() != content:
                write_bytes(path, content)
        raise


def manifests(hparams):
    """The digest of each manifest of training and validation that is there, by its name."""
    save = Path(hparams["save_folder"])
    paths = [Path(hparams[f"{split}_annotation"]) for split in ("train", "valid")]
    paths += [save / "noise_train.json", save / "noise_valid.json", save / "rooms.json"]
    paths += [save / f"speech_{name}.json" for name in hparams.get("speech_folders") or {}]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()
    }
