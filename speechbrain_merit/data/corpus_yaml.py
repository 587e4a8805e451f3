"""What a ``corpus.yaml`` holds: settings, laid over a system's YAML, and facts for the model card.

Settings are plain values; objects belong into ``hparams/``. The facts (`FACTS`) say what a corpus
is and are no keys of any system: they are taken out, and a run keeps them in
``save/corpora.json``, so that its model can be exported where the corpus's folder is not.
"""

import json
from pathlib import Path

import yaml

from speechbrain_merit.data.text_keys import read_yaml
from speechbrain_merit.errors import PreparationError, SettingsError
from speechbrain_merit.export.model_card import CORPORA, FACTS
from speechbrain_merit.writing import write_text


def read_corpus_yaml(folder):
    r"""The settings and the facts of a corpus.

    Arguments
    ---------
    folder : str or Path
        Of the corpus.

    Returns
    -------
    tuple
        Settings, key to plain value; facts, those of `FACTS` that are given: ``licence`` and
        ``citation``, each one line of text, and ``language``, a list of codes.

    Raises
    ------
    PreparationError
        The file is no mapping of plain values, or a fact is of the wrong type.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> _ = (folder / "corpus.yaml").write_text("lr: 0.1\nlicence: CC BY 4.0\nlanguage: da\n")
    >>> read_corpus_yaml(folder)
    ({'lr': 0.1}, {'licence': 'CC BY 4.0', 'language': ['da']})
    """
    path = Path(folder) / "corpus.yaml"
    try:
        settings = read_yaml(path.read_text(encoding="utf-8"))
    except SettingsError as error:
        raise PreparationError(f"{path} holds no lines `key: value`, but {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        hint = "It holds lines `key: value` with plain values, in UTF-8; objects stand in hparams/."
        raise PreparationError(f"{path} cannot be read. {hint} {error}") from error
    facts = {key: settings.pop(key) for key in FACTS if key in settings}
    return settings, {k: fact(path, k, value) for k, value in facts.items() if value is not None}


def fact(path, key, value):
    """A fact in the form in which it is kept."""
    if key == "language":
        codes = [value] if isinstance(value, str) else value
        if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
            raise PreparationError(  # YAML takes no, Norwegian, for a truth value
                f"{path}: language is {value!r}: give a code of letters such as en, or a list of "
                'them; "no" in quotes.'
            )
        return codes
    if not isinstance(value, str):
        raise PreparationError(f"{path}: {key} is {value!r}: give one line of text, in quotes.")
    return " ".join(value.split())


def write_facts(folders, save_folder):
    """Writes ``corpora.json``: an entry for each corpus, empty where it says nothing of itself.

    Arguments
    ---------
    folders : dict
        ``{name: Path}``, as of `speechbrain_merit.data.corpora.find_corpora`.
    save_folder : str or Path
        Of the run.
    """
    facts = {name: read_corpus_yaml(folder)[1] for name, folder in folders.items()}
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    write_text(Path(save_folder) / CORPORA, text)
