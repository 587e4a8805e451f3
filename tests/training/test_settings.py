"""What is written on a command line or in a YAML for a path or a label stays that text."""

import os
from pathlib import Path

import pytest
import yaml
from hyperpyyaml import resolve_references
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechbrain_merit.data.corpora import as_text, data_root
from speechbrain_merit.data.text_keys import folders_by_name
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.training.literal import settle
from speechbrain_merit.training.settings import (
    blocks,
    load,
    parse,
    plain_values,
    resolved,
    user_errors,
)

PATHS = "data_folder output_folder noise_folder noise_train_folder rir_folder encoder".split()
#: What a folder may be called: anything but NUL and /.
NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=12
)
LIKE_YAML = st.sampled_from(
    "20240105 2024-01-05 no on 1e5 1_000 0x1F 12:30 (1) [a] a:b 3=4 @x %y *z &w !ref - ? | > \\ ~x"
    " .inf".split()
    + ["take #2", "3 #2", "a: b", " x ", "- x", "{x}", "'a' #b", '"', "take\n2", "<x", "\x85"]
)


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


@pytest.fixture(scope="module")
def paths_alone(repo_root, tmp_path_factory):
    """The lines of merit.yaml that hold paths: the whole takes a quarter of a second to read."""
    lines = (repo_root / "hparams" / "merit.yaml").read_text(encoding="utf-8").splitlines()
    wanted = ("seed:", "system:", "corpus:", "encoder:", "train_log:", "noise_", *PATHS, "rir_")
    wanted += ("save_folder", "train_annotation")
    path = tmp_path_factory.mktemp("yaml") / "paths.yaml"
    path.write_text("\n".join(line for line in lines if line.startswith(wanted)))
    return str(path)


def arrives(*arguments, hparams="hparams/merit.yaml"):
    """The values of a run's YAML as training sees them, and as hyperparams.yaml keeps them."""
    hparams_file, _, overrides = parse([hparams, *arguments])
    with open(hparams_file, encoding="utf-8") as file:
        text = resolve_references(file, settle(hparams_file, overrides)).getvalue()

    class Plain(yaml.SafeLoader):  # reads as YAML does, and leaves no text as it is by its key
        pass

    Plain.add_multi_constructor("!", lambda loader, tag, node: None)
    return yaml.load(text, Loader=Plain)


@given(key=st.sampled_from(PATHS), name=NAMES | LIKE_YAML, joined=st.booleans())
@settings(deadline=None, max_examples=200)
@example(key="output_folder", name="3 #2", joined=False)  # 3 #2/save is 3 to HyperPyYAML
def test_any_name_of_a_folder_arrives_as_it_is(paths_alone, key, name, joined):
    place = f"./{name}"  # as it must be written where it begins with -- or is ~ or null
    words = [f"--{key}={place}"] if joined else [f"--{key}", place]
    try:
        values = arrives(*words, hparams=paths_alone)
    except SettingsError as error:  # HyperPyYAML takes it for a reference, and nothing helps
        assert "<" in name and "must not hold <…>" in str(error)
        return
    assert values[key] == place
    if key == "output_folder":
        assert values["train_annotation"] == f"{place}/save/train.json"
        assert values["train_log"] == f"{place}/train_log.txt"


@given(name=NAMES | LIKE_YAML, other=NAMES | LIKE_YAML)
@settings(deadline=None, max_examples=200)
def test_any_names_arrive_in_a_mapping(paths_alone, name, other):
    """As `as_text` writes them, and so as they stand in a run's YAML."""
    folders = {"one": f"./{name}", "on": f"./{other}"}
    assert folders_by_name(as_text(folders)) == folders
    values = arrives(f"--noise_test_folders={as_text(folders)}", hparams=paths_alone)
    assert values["noise_test_folders"] == folders


@pytest.mark.parametrize(
    "text, folders",
    [
        ("{a: 20240105, on: take #2}", {"a": "20240105", "on": "take #2"}),
        ("{a: take #2}", {"a": "take #2"}),
        ("{a: x, y/z, b: [1]}", {"a": "x, y/z", "b": "[1]"}),
        (r"{a: C:\x, b: D:/y}", {"a": r"C:\x", "b": "D:/y"}),
        ("{My Corpus: /x y, 2: &a}", {"My Corpus": "/x y", "2": "&a"}),
        ('{a: \'/x, b: y\', "b": "z"}', {"a": "/x, b: y", "b": "z"}),
        ('{"a":"/x"}', {"a": "/x"}),
        ("{a: ~, b: null}", {"a": None, "b": None}),
        ("{a: ~/x}", {"a": os.path.expanduser("~/x")}),
        ("{}", {}),
    ],
)
def test_folders_by_name_as_people_write_them(text, folders):
    hparams_file, _, overrides = parse(["hparams/merit.yaml", "--noise_test_folders", text])
    assert overrides["noise_test_folders"] == folders


@pytest.mark.parametrize("words", [["/my", "data"], ["=/my", "data"]])
def test_a_blank_that_the_shell_was_not_told_of_is_part_of_the_path(words):
    first = f"--data_folder{words[0]}" if words[0][0] == "=" else "--data_folder"
    rest = words[1:] if words[0][0] == "=" else words
    _, _, overrides = parse(["hparams/merit.yaml", first, *rest, "--seed", "7"])
    assert (overrides["data_folder"], overrides["seed"]) == ("/my data", 7)


def test_home_and_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["--data_folder", "~/x", "--rir_folder", "null", "--noise_train_folder", "~"]
    values = arrives(*words, "--output_folder", "~/runs", "--encoder", "~/wavlm")
    assert values["data_folder"] == f"{tmp_path}/x" and values["rir_folder"] is None
    assert values["noise_train_folder"] == str(tmp_path)
    assert values["save_folder"] == f"{tmp_path}/runs/save"
    assert values["encoder"] == f"{tmp_path}/wavlm"
    with pytest.raises(SettingsError, match="--rir_folder needs a value"):
        parse(["hparams/merit.yaml", "--rir_folder", "--seed", "7"])


SYSTEM = """
seed: 7
system: my
corpus: 2024
data_folder: 2024-01-05
output_folder: !ref ~/runs/<system>/<corpus>/<seed>
save_folder: !ref <output_folder>/save
noise_train_folder: ~
rir_folder: ~/rooms  # a comment
noise_test_folders: {on: 20240105, street: ~/street}
encoder: 1234
labels: [no, 0, angry]
merge_labels: {1: 0, yes: no}
saved: !apply:os.path.normpath [!ref <save_folder>]
"""


def test_a_yaml_of_ones_own_keeps_its_text_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "my.yaml"
    path.write_text(SYSTEM)
    hparams = load(*parse([str(path)])[::2])
    assert (hparams["corpus"], hparams["data_folder"]) == ("2024", "2024-01-05")
    assert hparams["output_folder"] == f"{tmp_path}/runs/my/2024/7"
    assert hparams["saved"] == f"{tmp_path}/runs/my/2024/7/save"
    assert hparams["noise_train_folder"] is None and hparams["rir_folder"] == f"{tmp_path}/rooms"
    assert hparams["noise_test_folders"] == {"on": "20240105", "street": f"{tmp_path}/street"}
    assert hparams["encoder"] == "1234" and hparams["labels"] == ["no", "0", "angry"]
    assert hparams["merge_labels"]["yes"] == "no"
    assert plain_values(path)["merge_labels"] == {"1": "0", "yes": "no"}


def test_labels_that_look_like_something_else_stay_labels(tmp_path):
    values = arrives("--labels", "[0, 1, no, 2024-01-05]", "--merge_labels", "{3: 0, off: no}")
    assert values["labels"] == ["0", "1", "no", "2024-01-05"]
    assert values["merge_labels"] == {"3": "0", "off": "no"}
    corpus = tmp_path / "Mine"
    corpus.mkdir()
    (corpus / "corpus.yaml").write_text(
        "labels: [0, 1, 2, 3]\ndata_folder: 20240105\nmerge_labels: {on: 0}\nlr: 1e-4\n"
    )
    values = arrives("--corpus", str(corpus))
    assert values["labels"] == ["0", "1", "2", "3"] and values["merge_labels"] == {"on": "0"}
    assert values["data_folder"] == "20240105" and values["lr"] == 1e-4
    assert values["output_folder"] == "results/merit/Mine/1234"


def test_a_rate_without_a_point_is_a_number():
    values = arrives("--lr", "1e-4", "--encoder_lr", "-2E+3", "--skip_test", "no", "--seed", "7")
    assert (values["lr"], values["encoder_lr"]) == (1e-4, -2000.0)
    assert values["skip_test"] is False and values["seed"] == 7


def test_two_folders_that_differ_behind_a_hash_are_two(tmp_path):
    one, two = (blocks(f'a: "take #{n}"  # why\nb: [1, 2]\n') for n in (1, 2))
    assert [key for key in one if one[key] != two[key]] == ["a"]
    assert blocks("a: x\nb: {c: 1}\n") == blocks("# why\na: 'x'\nb:\n  c: 1  # so\n")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--output_folder", "runs/<seed>"], "output_folder: 'runs/<seed>' must not hold <…>"),
        (["--data_folder", "n\udce9"], "data_folder: 'né' is not UTF-8: rename"),
        (["--merge_labels", "{[a]: b}"], "merge_labels: the names of a mapping are words"),
        (["--merge_labels", "&a {b: *a}"], "merge_labels: a mapping cannot hold itself"),
        (["--labels", "[a, b"], r"--labels \[a, b: expected .*Write it as \[angry, sad\]"),
        (["--seed", "3=4"], "3=4: a value must not hold '='"),
        (["stray"], "keys and values are wanted"),
    ],
)
def test_what_cannot_be_kept_is_named(words, message):
    with pytest.raises(SettingsError, match=message), user_errors():
        settle(*parse(["hparams/merit.yaml", *words])[::2])


def test_a_folder_whose_name_is_in_braces(tmp_path):
    folder = tmp_path / "{x: y}"
    folder.mkdir()
    assert arrives("--data_folder", str(folder))["data_folder"] == str(folder)
    assert data_root({"corpus": "RAVDESS", "data_folder": str(folder)}) == str(folder)
    assert Path("{x: y}").exists() is False


@pytest.mark.parametrize("written", ["{seen: /a, unseen: /b}  # two", "\n  seen: /a\n  unseen: /b"])
def test_a_mapping_that_is_given_replaces_the_one_that_is_there(written, tmp_path):
    path = tmp_path / "hyperparams.yaml"
    path.write_text(f"seed: 1\nnoise_test_folders: {written}\nn_jobs: 3\nlast: !ref <n_jobs>\n")
    given = {"noise_test_folders": {"street": "/c"}}
    hparams = load(path, given)
    assert hparams == {"seed": 1, **given, "n_jobs": 3, "last": 3}
    assert yaml.safe_load(resolved(path, given))["noise_test_folders"] == {"street": "/c"}
    both = {"seen": "/a", "unseen": "/b"}
    assert load(path, {"seed": 2})["noise_test_folders"] == both


def test_an_unknown_key_of_a_corpus_is_not_looked_for_on_the_command_line(tmp_path, repo_root):
    folder = tmp_path / "Calls"
    folder.mkdir()
    (folder / "calls_prepare.py").write_text("")
    (folder / "corpus.yaml").write_text("label: [angry, sad]")
    system = str(repo_root / "hparams" / "merit.yaml")
    with pytest.raises(SettingsError, match="did you mean labels. It stands in corpus.yaml"):
        parse([system, "--corpus", str(folder)])
    with pytest.raises(SettingsError, match="no key label; did you mean labels.$"):
        parse([system, "--corpus", str(folder), "--label", "x"])
