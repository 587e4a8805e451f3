"""A pretrained folder that is loaded: its network, where it is, and how sound goes through it."""

import functools
import os
import re
from pathlib import Path

import torch
from ruamel.yaml.error import YAMLError
from speechbrain.inference.interfaces import Pretrained
from tqdm import tqdm

from speechbrain_merit.devices import check_device
from speechbrain_merit.errors import PretrainedError
from speechbrain_merit.export.loading import check_format, require_files, shipped_model
from speechbrain_merit.inference.analysis import Assembler
from speechbrain_merit.inference.hearing import hear
from speechbrain_merit.inference.jobs import run
from speechbrain_merit.inference.pickling import empty, folded, importable

#: ``user/model``
HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
#: What a YAML file that is cut off makes HyperPyYAML and SpeechBrain raise.
UNREADABLE = (AttributeError, ImportError, LookupError, TypeError, ValueError, YAMLError)

if hasattr(os, "register_at_fork"):  # Windows has no fork
    # a forked child has none of the threads that torch shares its work among, and waits for them
    os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


class Loaded(Pretrained):
    """What all that is done with a trained model needs.

    Arguments
    ---------
    See ``speechbrain.inference.interfaces.Pretrained``; use :meth:`from_hparams`.
    """

    HPARAMS_NEEDED = ["labels", "temperature", "label_encoder", "sample_rate"]
    MODULES_NEEDED = ["model"]
    WINDOW_SECONDS = 10

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # SpeechBrain asks for the device when the network is in place: it was told where that is
        self.device = self.asked_device

    @classmethod
    def from_hparams(cls, source, hparams_file="hyperparams.yaml", savedir=None, **kwargs):
        """Loads a pretrained folder, or one from the hub into ``savedir``.

        Arguments
        ---------
        source : str or Path
            Folder, or name of a model on the Hugging Face hub.
        hparams_file : str
            Its YAML.
        savedir : str or Path, optional
            Where files of the hub go; a folder is read where it lies.
        **kwargs : dict
            To SpeechBrain, such as ``run_opts={"device": "cuda"}``.

        Raises
        ------
        PretrainedError
            A file is missing, cut off, or does not fit the model.
        SettingsError
            There is no such device.
        """
        check_device((kwargs.get("run_opts") or {}).get("device"))
        if not Path(source).is_dir():
            if Path(source).exists() or not HUB_NAME.fullmatch(str(source)):
                raise PretrainedError(
                    f"{source}: no such folder, and no name on the hub (user/model)."
                )
            try:
                return super().from_hparams(str(source), hparams_file, savedir=savedir, **kwargs)
            except PretrainedError:
                raise
            except (OSError, *UNREADABLE) as error:
                raise PretrainedError(
                    f"{source}: no such folder here, and not to be had from the hub: {error}"
                ) from error
        require_files(source)
        check_format(source)
        try:  # without savedir: SpeechBrain would take what an earlier model left there
            return super().from_hparams(str(source), hparams_file, savedir=None, **kwargs)
        except PretrainedError:
            raise
        except UNREADABLE as error:
            raise PretrainedError(
                f"{Path(source) / hparams_file}: cannot be used, perhaps it is cut off: {error!r}"
            ) from error

    def __reduce__(self):
        """Pickles, and copies; see :mod:`speechbrain_merit.inference.pickling`."""
        return empty, (importable(type(self)),), folded(self)

    @property
    def device(self):
        """Where the network is, as text; ``.to(device)`` moves both."""
        modules = self._modules.get("mods")
        return self.asked_device if modules is None else str(next(modules.parameters()).device)

    @device.setter
    def device(self, device):
        self.asked_device = device  # SpeechBrain's: it moves the network there
        if "mods" in self._modules:
            self.mods.to(device)

    @classmethod
    def shipped(cls, name="merit-tiny", **kwargs):
        """A model that travels with the package; ``kwargs`` as of :meth:`from_hparams`.

        Raises
        ------
        PretrainedError
            It did not come with this installation.
        """
        return cls.from_hparams(shipped_model(name), **kwargs)

    @property
    def model(self):
        """The network."""
        return self.mods.model

    @property
    def tasks(self):
        """The tasks that the model has a head for: ``se``, ``ser``."""
        return self.model.tasks

    @property
    def window_seconds(self):
        """Length of a window, and of the longest recording that is heard in one pass."""
        seconds = getattr(self.hparams, "window_seconds", None) or self.WINDOW_SECONDS
        return min(seconds, self.model.max_seconds or seconds)

    def hear(self, windows, tasks=None, over_time=True):
        """What the network makes of windows in one pass; see :func:`hearing.hear`."""
        return hear(self.model, windows, tasks or self.tasks, self.hparams.temperature, over_time)

    def listen(self, jobs, tasks, batch_size=1, over_time=True, heard_seconds=None):
        """Sends recordings (jobs) through the network; yields each when it is done."""

        def through(windows):
            return self.hear(windows, tasks, over_time)

        assembler = functools.partial(
            Assembler,
            labels=self.hparams.labels,
            attributes=getattr(self.hparams, "attributes", ()),
            abstain=over_time,
        )
        yield from run(jobs, through, assembler, self.window_seconds, batch_size, heard_seconds)

    def done(self, jobs, tasks, batch_size=1, progress=False, over_time=True):
        """The jobs when all are done; raises the error of the first that failed."""
        with tqdm(disable=not progress, unit="s", desc="heard") as bar:
            for job in self.listen(jobs, tasks, batch_size, over_time, bar.update):
                if job.error is not None:
                    raise job.error
        return jobs

    @torch.inference_mode()
    def one_pass(self, wavs, lengths, task):
        """What the network makes of a batch in one pass, for one task."""
        lengths = None if lengths is None else lengths.float().to(self.device)
        return self.model(wavs, lengths, (task,))

    def require(self, task):
        """Raises ValueError unless the model has a head for a task."""
        heads = {"se": "enhancement", "ser": "emotion"}
        if getattr(self.model, heads[task]) is None:
            raise ValueError(f"This model has no {heads[task]} head.")
