"""The utterances of a corpus: those that are scored, those of the babble's voices, and the rest."""

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from speechbrain_merit.errors import PreparationError


class Utterance(NamedTuple):
    """A recording of the corpus: where it is, and who says it how."""

    id: str
    path: Path
    speaker: str
    label: str


def utterances(settings, splits=("test", "valid")):
    """The utterances of a corpus by split, each sorted by id.

    Arguments
    ---------
    settings : Settings
        Of the benchmark.
    splits : sequence of str
        Which. ``train`` are the speakers who are neither tested nor validated on.

    Returns
    -------
    dict
        ``{split: […]}`` of `Utterance`.

    Raises
    ------
    PreparationError
        The folder is missing, a split is empty, an utterance is there twice, or their number is not
        that of the release.
    """
    if settings.recipe is not None:
        found = _by_recipe(settings, splits)
    else:
        folder = _synthesised(settings) if settings.synthesised else Path(settings.data_folder)
        found = _by_name(settings, folder.expanduser(), splits)
    for split, rows in found.items():
        if not rows and (split != "valid" or "babble" in settings.noises):
            raise PreparationError(
                f"{settings.data_folder} holds no {split} utterance of {settings.corpus}. "
                f"{settings.source}"
            )
        twice = [name for name, n in Counter(row.id for row in rows).items() if n > 1]
        if twice:
            one, other, *_ = (row.path for row in rows if row.id == twice[0])
            raise PreparationError(
                f"{settings.corpus}: {twice[0]} is there twice, {one} and {other}: take one out."
            )
    count = len(found.get("test", ()))
    if "test" in splits and settings.utterances not in (None, count):
        raise PreparationError(
            f"{settings.data_folder} holds {count} test utterances of {settings.corpus}, and the "
            f"release has {settings.utterances}: complete the copy. {settings.source}"
        )
    return {split: sorted(rows) for split, rows in found.items()}


def _by_name(settings, folder, splits):
    """Utterances by what their file names say."""
    if not folder.is_dir():
        raise PreparationError(f"--data_folder {folder} is no folder. {settings.source}")
    from speechbrain_merit.audio.inspection import find_audio  # follows links, heeds no hidden file

    pattern = re.compile(settings.files)
    speakers = {split: {*map(str, getattr(settings, split))} for split in ("test", "valid")}
    heard = speakers["test"] | speakers["valid"]
    found = {split: [] for split in splits}
    for path in find_audio(folder):
        # a copy in FLAC holds the samples that were published
        match = pattern.fullmatch(re.sub(r"(?i)\.flac$", ".wav", path.name))
        if match is None or match["id"] in settings.exclude:
            continue
        label = settings.emotions.get(match["emotion"])
        speaker = match["speaker"]
        for split, rows in found.items():
            own = speaker not in heard if split == "train" else speaker in speakers[split]
            if label is not None and own:
                rows.append(Utterance(match["id"], path, speaker, label))
    return found


def _synthesised(settings):
    """The folder of MiniMERIT, made where it is missing."""
    from speechbrain_merit.data.synthetic import prepare_minimerit

    with tempfile.TemporaryDirectory() as save:
        manifests = [Path(save) / f"{split}.json" for split in ("train", "valid", "test")]
        prepare_minimerit(settings.data_folder, *manifests, settings.labels)
    return Path(settings.data_folder)


def _by_recipe(settings, splits):
    """Utterances as the preparation of a recipe lists them."""
    from speechbrain_merit.data.corpora import find_corpora, prepare_one
    from speechbrain_merit.data.manifests import load_manifest

    ((name, folder),) = find_corpora(settings.recipe).items()
    merged = {key: label for key, label in settings.emotions.items() if key != label}
    hparams = {"labels": settings.labels, "merge_labels": merged, "skip_prep": False}
    root = {"data_root": settings.data_folder}
    with tempfile.TemporaryDirectory() as save:
        manifests = {split: Path(save) / f"{split}.json" for split in ("train", "valid", "test")}
        try:
            prepare_one(name, folder, settings.data_folder, manifests, hparams, splits)
        except FileNotFoundError as error:
            raise PreparationError(f"--data_folder {settings.data_folder}: {error}") from error
        rows = {s: load_manifest(manifests[s], None, root) for s in splits}
    return {
        split: [
            Utterance(key, Path(row["wav"]), str(row["spk_id"]), row["emo"])
            for key, row in own.items()
        ]
        for split, own in rows.items()
    }
