"""Where training speech comes from: corpora with emotion labels, and folders of speech without."""

from pathlib import Path

from speechbrain_merit.data.corpora import data_root
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.sampling import check_shares
from speechbrain_merit.data.speech_folders import prepare_speech_folders
from speechbrain_merit.errors import PreparationError


def check_sources(hparams):
    """Raises PreparationError for folders or shares that cannot be, before anything is prepared.

    Arguments
    ---------
    hparams : dict
        ``corpus``, ``data_folder``, ``model``, ``speech_folders``, ``source_shares`` and
        ``whole_corpora``.
    """
    folders, corpora = hparams.get("speech_folders") or {}, corpus_names(hparams)
    head = hparams["model"].enhancement
    if folders and (head is None or not any(p.requires_grad for p in head.parameters())):
        raise PreparationError(
            "speech_folders: speech without emotion labels trains the enhancement alone, and this "
            "system trains none: leave it out, or take another system."
        )
    roots = data_root(hparams)
    roots = roots if isinstance(roots, dict) else {corpora[0]: roots}
    for name, folder in folders.items():
        if name in corpora:
            raise PreparationError(
                f"speech_folders: {name} is the corpus too: give the folder another name."
            )
        for corpus, root in roots.items():
            if folder and one_holds_the_other(folder, root):
                raise PreparationError(
                    f"speech_folders[{name}]: {folder} holds recordings of the corpus {corpus}, "
                    "which have emotion labels, and its test speakers among them: give a folder "
                    "of other speech."
                )
    shares, whole = hparams.get("source_shares") or {}, hparams.get("whole_corpora") or {}
    away = {name: split for name, split in whole.items() if split != "train"}
    for name in shares:
        if name in away:
            raise PreparationError(
                f"source_shares: {name} does not train, all of it is for {away[name]} "
                "(whole_corpora): leave it out here."
            )
    if shares:
        check_shares(shares, [name for name in [*corpora, *folders] if name not in away])


def one_holds_the_other(folder, other):
    """Whether two folders are one, or one is somewhere below the other.

    Example
    -------
    >>> one_holds_the_other("a/b", "a"), one_holds_the_other("a/b", "a/c")
    (True, False)
    """
    first, second = Path(folder).resolve(), Path(other).resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def corpus_names(hparams):
    """The names of the corpora of a run."""
    return [Path(name.strip()).name for name in str(hparams["corpus"]).split(",")]


def source_names(entries, hparams):
    """``{id: source}``: what a row names; of a run on one corpus, that one.

    A row of a folder of speech has a section, and the folder's name for a corpus.
    """
    corpus, *others = corpus_names(hparams)
    return {
        name: row["corpus"] if others or "section" in row else corpus
        for name, row in entries.items()
    }


def speech_without_labels(hparams):
    """The checked entries of all of ``speech_folders``; none where there are no folders."""
    folders, entries = hparams.get("speech_folders") or {}, {}
    manifests = prepare_speech_folders(folders, hparams["save_folder"], skip_prep=True)
    for name, manifest in manifests.items():
        entries |= load_manifest(manifest, replacements={"speech_root": str(folders[name])})
    return entries
