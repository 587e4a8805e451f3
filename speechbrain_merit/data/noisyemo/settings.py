"""What a benchmark's YAML says, checked: see ``recipes/NoisyEmo/ravdess.yaml``."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from speechbrain_merit.data.exact.distortions import DISTORTIONS
from speechbrain_merit.data.exact.noises import KINDS
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.summary import INEXACT

SNRS = (-5, 0, 5, 10, 15, 20)
NAME = re.compile(r"[a-z0-9_]+")  # of a noise set: it is a folder's name
#: What a key holds, and how a message calls it.
LISTS = ("valid", "test", "exclude", "noises", "snrs", "distortions")
VALUES = {
    **dict.fromkeys(("corpus", "files", "recipe", "source", "data_folder"), (str, "a text")),
    **dict.fromkeys(LISTS, (list, "a list, such as [a, b]")),
    **dict.fromkeys(("emotions", "folders"), (dict, "a mapping, such as {a: b}")),
    "utterances": (int, "a number"),
    "synthesised": (bool, "true or false"),
}


class Settings(NamedTuple):
    """A benchmark: corpus, the names of its files, its labels and speakers, noise and distortions.

    ``files`` is a regular expression with groups ``id``, ``emotion`` and ``speaker``; or None where
    the recipe named by ``recipe`` lists the corpus. ``noises`` are the own kinds; ``folders``
    holds further noise, ``{name: {"folder": path, "seconds": of each recording}}``.
    """

    corpus: str
    emotions: dict
    files: str | None = None
    valid: tuple = ()
    test: tuple = ()
    utterances: int | None = None
    recipe: str | None = None
    synthesised: bool = False
    exclude: tuple = ()
    source: str = ""
    data_folder: str | None = None
    noises: tuple = KINDS
    folders: dict = {}
    snrs: tuple = SNRS
    distortions: tuple = tuple(DISTORTIONS)

    @property
    def labels(self):
        """The labels, each once, in their order."""
        return list(dict.fromkeys(self.emotions.values()))

    @property
    def noise_sets(self):
        """Names of all noise sets."""
        return [*self.noises, *self.folders]

    def conditions(self):
        """Pairs of noise set and SNR, and of distortion and severity, clean speech left out."""
        noisy = [(name, snr) for name in self.noise_sets for snr in self.snrs]
        return noisy, [(name, severity) for name in self.distortions for severity in (1, 2, 3)]


def read_settings(path, data_folder=None, folders=None):
    """Reads a YAML; what the command line gives goes over it.

    Arguments
    ---------
    path : str or Path
        The YAML.
    data_folder : str, optional
        Where the corpus is.
    folders : dict, optional
        Further noise, ``{name: folder}``.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        The YAML is missing or broken, or has a key or value that cannot be.
    """
    path = Path(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not (found.get("corpus") and found.get("emotions")):
        raise SettingsError(f"{path} names no corpus with its emotions: see ravdess.yaml.")
    unknown = sorted({*map(str, found)} - {*Settings._fields})
    if unknown:
        known = ", ".join(Settings._fields)
        raise SettingsError(f"{path} has {', '.join(unknown)}, which is none of {known}.")
    found = {key: value for key, value in found.items() if value is not None}
    for key, value in found.items():
        kind, wanted = VALUES[key]
        if not isinstance(value, kind):
            raise SettingsError(f"{path}: {key} is {value!r}: give {wanted}.")
    for name, said in found.get("folders", {}).items():
        if not isinstance(said, dict) or type(said.get("seconds", 1)) is not int:
            raise SettingsError(f"{path}: folders has {name}: {said!r}: give {{seconds: 30}}.")
    found = {key: tuple(v) if isinstance(v, list) else v for key, v in found.items()}
    found["emotions"] = {str(key): str(value) for key, value in found["emotions"].items()}
    if data_folder is not None:
        found["data_folder"] = str(data_folder)
    own = found.get("folders") or {}
    for name, folder in (folders or {}).items():
        own = {**own, name: {**own.get(name, {}), "folder": str(folder)}}
    # A line that names a set and no folder says how long its recordings are, where it is given.
    found["folders"] = {name: said for name, said in own.items() if said.get("folder")}
    settings = Settings(**found)
    _check(path, settings)
    return settings


def _check(path, settings):
    """Raise SettingsError for values that cannot be."""
    if not settings.data_folder and not settings.synthesised:
        raise SettingsError(
            f"--data_folder is missing: where {settings.corpus} is. {settings.source}"
        )
    if settings.files is None and settings.recipe is None:
        raise SettingsError(f"{path} says neither by `files` nor by `recipe` how files are named.")
    if settings.files is not None:
        try:
            groups = re.compile(settings.files).groupindex
        except re.error as error:
            raise SettingsError(f"{path}: `files` is no regular expression: {error}.") from error
        if not {"id", "emotion", "speaker"} <= {*groups}:
            raise SettingsError(f"{path}: `files` has no groups id, emotion and speaker.")
    for name in settings.noises:
        if name not in KINDS:
            raise SettingsError(f"{path}: noises has {name}, which is none of {', '.join(KINDS)}.")
    for name in settings.distortions:
        if name not in DISTORTIONS:
            known = ", ".join(DISTORTIONS)
            raise SettingsError(f"{path}: distortions has {name}, which is none of {known}.")
    taken = {*KINDS, *DISTORTIONS, *INEXACT, "clean", "noise"}
    for name in settings.folders:
        if not NAME.fullmatch(name) or name in taken:
            raise SettingsError(
                f"A noise set cannot be named {name}: small letters, digits and _, and none of "
                f"{', '.join(sorted(taken))}."
            )
    for snr in settings.snrs:
        if type(snr) is not int or snr % 5:
            raise SettingsError(f"{path}: snrs has {snr}: whole multiples of 5 dB are exact.")
