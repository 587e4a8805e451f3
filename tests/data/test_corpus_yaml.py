"""corpus.yaml: plain settings that every system has, and what a corpus says of itself."""

import json
import os

import pytest
import yaml

from speechbrain_merit.data.corpora import RECIPES, find_corpora, overlay
from speechbrain_merit.data.corpus_yaml import read_corpus_yaml, write_facts
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.export.model_card import FACTS

CORPORA = sorted(path.parent.name for path in RECIPES.glob("*/corpus.yaml"))
SYSTEMS = sorted((RECIPES.parent / "hparams").glob("*.yaml"))
STATED = {
    "RAVDESS": ("CC BY-NC-SA 4.0: not for commercial use", ["en"]),
    "nEMO": ("CC BY-NC-SA 4.0: not for commercial use", ["pl"]),
    "EmoTale": ("none stated; its authors ask to be cited", ["en", "da"]),
    "CREMA-D": ("Open Database License", ["en"]),
    "EmoDB": ("ask its owners", ["de"]),
    "IEMOCAP": ("by agreement with its owners, for research", ["en"]),
    "MSP-Podcast": ("by agreement with its owners", ["en"]),
    "MiniMERIT": ("synthetic, Apache 2.0; says nothing about emotion", []),
    "EMOVO": ("none stated; ask its owners", ["it"]),
    "EmotionTTS": ("CC BY-NC-SA: for research, not for commercial use", ["ko"]),
    "ESD": ("for research only, on request", ["zh", "en"]),
    "TESS": ("CC BY-NC-ND 4.0: no commercial use, no derivatives", ["en"]),
    "SAVEE": ("for research only, after registration", ["en"]),
    "JL-Corpus": ("CC0 1.0", ["en"]),
    "MELD": ("labels GPL 3.0; the films belong to the owners of the series", ["en"]),
    "TEMPLATE": (None, None),
}


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_says_its_licence_language_and_citation(name):
    _, facts = read_corpus_yaml(RECIPES / name)
    assert (facts.get("licence"), facts.get("language")) == STATED[name]
    assert "\n" not in facts.get("citation", "")
    readme = " ".join((RECIPES / name / "README.md").read_text(encoding="utf-8").split())
    if "## Citing" in readme:
        assert facts["citation"] in readme


@pytest.mark.parametrize("name", CORPORA)
def test_an_overlay_holds_plain_values_of_keys_that_every_system_has(name):
    settings, _ = read_corpus_yaml(RECIPES / name)
    json.dumps(settings)  # numbers, texts, lists and mappings alone
    for system in SYSTEMS:
        keys = {key.value for key, _ in yaml.compose(system.read_text(encoding="utf-8")).value}
        assert set(settings) <= keys and not keys & set(FACTS), system.name
    assert not set(overlay(name, {})) & set(FACTS)


def corpus(folder, text):
    folder.mkdir()
    (folder / "corpus.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_run_keeps_what_each_of_its_corpora_says(tmp_path):
    mine = corpus(tmp_path / "Mine", "lr: 0.1\nlicence: |\n  free,\n  even to sell\n")
    write_facts(find_corpora(f"nEMO,{mine}"), tmp_path / "save")
    kept = json.loads((tmp_path / "save" / "corpora.json").read_text(encoding="utf-8"))
    assert list(kept) == ["nEMO", "Mine"]
    assert kept["Mine"] == {"licence": "free, even to sell"}
    assert kept["nEMO"]["language"] == ["pl"] and "Christop (2024)" in kept["nEMO"]["citation"]


def test_what_a_run_keeps_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_facts(find_corpora("nEMO"), tmp_path)
    before = (tmp_path / "corpora.json").read_bytes()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_facts(find_corpora("RAVDESS"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["corpora.json"]
    assert (tmp_path / "corpora.json").read_bytes() == before


@pytest.mark.parametrize(
    "text, message",
    [
        ("licence: 4.0", "licence is 4.0: give one line of text"),
        ("citation: [a, b]", "citation is .*: give one line of text"),
        ("language: no", "language is False.*in quotes"),
        ("language: [en, 1]", r"language is \['en', 1\]"),
        ("[licence, language]", "no lines `key: value`"),
        ("just words", "no lines `key: value`"),
        ("opt_class: !name:torch.optim.SGD", "cannot be read.*plain values.*!name"),
        ("lr: [1", "cannot be read.*`key: value`"),
        ("citation: Müller".encode("latin-1"), "cannot be read.*UTF-8"),
    ],
)
def test_a_corpus_yaml_with_a_mistake_is_named(text, message, tmp_path):
    folder = corpus(tmp_path / "Mine", text)
    with pytest.raises(PreparationError, match=rf"(?s)Mine.corpus.yaml.*{message}"):
        overlay(str(folder), {})


def test_an_empty_corpus_yaml_leaves_everything_to_the_system(tmp_path):
    folder = corpus(tmp_path / "Mine", "# nothing differs\nlicence:\n")
    assert overlay(str(folder), {}) == {"corpus": str(folder)}
    assert read_corpus_yaml(folder) == ({}, {})
