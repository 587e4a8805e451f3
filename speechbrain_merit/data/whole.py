"""Corpora of which all recordings are for one split, whatever their own splits are."""

from pathlib import Path

from speechbrain_merit.data.manifests import load_manifest, write_manifest
from speechbrain_merit.errors import PreparationError


def check_whole(whole, names, splits):
    """Raises unless a mapping of corpora to splits can be followed.

    Arguments
    ---------
    whole : dict
        ``{corpus: split}``, of the key ``whole_corpora``.
    names : list of str
        The corpora there are.
    splits : tuple of str
        The splits there are.

    Raises
    ------
    PreparationError
        A corpus or split is not there, or no corpus is left with splits of its own.

    Example
    -------
    >>> check_whole({"EMOVO": "valid"}, ["RAVDESS", "EMOVO"], ("train", "valid", "test"))
    """
    for name, split in whole.items():
        if name not in names:
            raise PreparationError(f"whole_corpora: {name} is none of {', '.join(names)}.")
        if split not in splits:
            raise PreparationError(
                f"whole_corpora: {name} is for {split!r}, which is none of {', '.join(splits)}."
            )
    if whole and set(whole) == set(names):
        raise PreparationError(
            "whole_corpora names every corpus: at least one has to keep splits of its own."
        )


def take_whole(manifests, split):
    """Moves all rows of a corpus into one of its splits; the others are gone.

    Arguments
    ---------
    manifests : dict
        ``{split: JSON file}``; not all of them need to be there.
    split : str
        The one that is left.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> files = {split: folder / f"{split}.json" for split in ("train", "valid")}
    >>> row = {"wav": "x.wav", "duration": 1.0, "spk_id": "1"}
    >>> for name, file in files.items():
    ...     write_manifest(file, {name[0]: row})
    >>> take_whole(files, "valid")
    >>> files["train"].exists(), sorted(load_manifest(files["valid"]))
    (False, ['t', 'v'])
    """
    rows = {}
    for path in map(Path, manifests.values()):
        if path.is_file():
            rows.update(load_manifest(path))
            path.unlink()
    write_manifest(manifests[split], rows)
