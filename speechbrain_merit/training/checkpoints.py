"""Checkpoints that are there whole or not at all, and the newest or best whole one of them."""

import functools
import logging
import os
import shutil
import zipfile
from pathlib import Path

import yaml
from speechbrain.utils import checkpoints
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

from speechbrain_merit.errors import MeritError

logger = get_logger(__name__)

UNFINISHED = ".unfinished"  # the folder beside the checkpoints in which one is written
ARCHIVE = b"PK"  # how a file of torch.save starts: a ZIP archive, whose index stands at its end
WRITER = "inline_container"  # what torch.save names when a disk is full


class Checkpointer(checkpoints.Checkpointer):
    """SpeechBrain's, but a checkpoint takes its place when complete, and broken ones are none.

    A program that is killed while it saves, a full disk and an interrupted copy leave cut files.

    Example
    -------
    >>> import torch
    >>> folder = Path(getfixture("tmpdir"))
    >>> checkpointer = Checkpointer(folder, {"network": torch.nn.Linear(2, 2)})
    >>> checkpoint = checkpointer.save_checkpoint()
    >>> checkpointer.find_checkpoint() == checkpoint
    True
    >>> weights = checkpoint.paramfiles["network"]
    >>> _ = weights.write_bytes(weights.read_bytes()[:-100])
    >>> checkpointer.find_checkpoint() is None
    True
    """

    def save_checkpoint(self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO):
        """See SpeechBrain's.

        Raises
        ------
        MeritError
            The checkpoint cannot be written: the disk is full, for one.
        """
        folder, self.checkpoints_dir = self.checkpoints_dir, self.checkpoints_dir / UNFINISHED
        try:
            clear(self.checkpoints_dir)  # of a program that was killed
            saved = super().save_checkpoint(meta or {}, end_of_epoch, name, logging.DEBUG)
            if saved is not None:  # in the first process
                saved = into_place(saved, folder)
                logger.log(verbosity, f"Saved a checkpoint in {saved.path}")
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and WRITER not in str(error):
                raise
            raise MeritError(
                f"{folder}: a checkpoint cannot be written: {error}. Make room, and start again: "
                "the run goes on from its last checkpoint."
            ) from error
        finally:
            clear(self.checkpoints_dir)
            self.checkpoints_dir = folder
        ddp_barrier()
        return saved

    def list_checkpoints(self):
        """Those in the folder that are whole."""
        needed = [
            name
            for name in self.recoverables
            # without a loader's place the epoch starts anew, as SpeechBrain warns
            if not (self.optional_recoverables.get(name) or name.startswith("dataloader"))
        ]
        return whole_checkpoints(self.checkpoints_dir, [] if self.allow_partial_load else needed)


def clear(folder):
    """Removes an unfinished checkpoint."""
    if if_main_process():
        shutil.rmtree(folder, ignore_errors=True)


def into_place(saved, folder):
    """Moves a complete checkpoint into the folder of checkpoints, once the disk has it."""
    for path in saved.path.iterdir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    place = folder / saved.path.name
    while place.exists():  # of the same second
        place = place.with_name(f"{place.name}+")
    os.rename(saved.path, place)
    files = {name: place / path.name for name, path in saved.paramfiles.items()}
    return checkpoints.Checkpoint(place, saved.meta, files)


def whole_checkpoints(folder, needed=()):
    """The whole checkpoints of a folder; a warning names each that is not.

    Arguments
    ---------
    folder : str or Path
        ``save_folder`` of a run.
    needed : iterable
        Names of what a checkpoint has to hold.

    Returns
    -------
    list
        Of SpeechBrain's ``Checkpoint``: ``path``, ``meta`` and ``paramfiles``.
    """
    found = []
    for path in sorted(Path(folder).glob(f"{checkpoints.CKPT_PREFIX}*")):
        if not path.is_dir():
            continue
        files = {file.stem: file for file in path.glob(f"*{checkpoints.PARAMFILE_EXT}")}
        try:
            text = (path / checkpoints.METAFNAME).read_text(encoding="utf-8")
            meta = yaml.safe_load(text)
            fault = "its CKPT.yaml is cut" if "end-of-epoch" not in (meta or ()) else None
        except (OSError, ValueError, yaml.YAMLError) as error:
            fault = str(error)
        missing = [name for name in needed if name not in files]
        broken = [file.name for file in files.values() if is_cut(file)]
        if missing:
            fault = f"it lacks {', '.join(missing)}"
        elif broken:
            fault = f"{', '.join(broken)} is cut short"
        if fault is None:
            found.append(checkpoints.Checkpoint(path, meta, files))
        else:
            warn(f"{path} is passed over, and another checkpoint taken if there is one: {fault}.")
    return found


def is_cut(path):
    """Whether a file of a checkpoint is empty, or an archive without its end."""
    with open(path, "rb") as file:
        start = file.read(len(ARCHIVE))
    return not start or (start == ARCHIVE and not zipfile.is_zipfile(path))


@functools.cache
def warn(text):
    """Warns, of each thing once: checkpoints are listed at every save."""
    logger.warning(text)
