"""Manifests, tables of labels, settings and predictions as nobody should write them."""

import json

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from surfaces import DAMAGES, answers, damaged

from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.training.settings import load, parse, user_errors

LABELS = ["angry", "sad"]
ROW = {"wav": "{data_root}/a.wav", "duration": 1.5, "emo": "sad", "spk_id": "1", "arousal": 0.5}
MANIFEST = json.dumps({f"utt_{i}": ROW for i in range(3)}, indent=2).encode()
TABLE = "file,emotion,speaker,split,arousal\n" + "".join(
    f"{speaker}/a{take}.wav,{LABELS[take % 2]},{speaker},,0.{take}\n"
    for speaker in ("anna", "ben", "cleo", "dan", "eva", "finn")
    for take in range(2)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder in a folder of its own, with the recordings of the table."""
    folder = tmp_path_factory.mktemp("texts") / "in"
    wave = 0.1 * np.random.default_rng(0).standard_normal(1600)
    for line in TABLE.splitlines()[1:]:
        path = folder / line.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, wave, 16000)
    return folder


@given(damages=DAMAGES, row=st.dictionaries(st.sampled_from([*ROW, "x"]), JSON), swap=st.booleans())
def test_a_damaged_manifest_is_read_or_named(room, damages, row, swap):
    data = json.dumps({"a": {**ROW, **row}}).encode() if swap else damaged(MANIFEST, damages)
    (room / "train.json").write_bytes(data)
    with answers(room, also=()):
        rows = load_manifest(room / "train.json", LABELS, {"data_root": "corpus"})
        assert rows and all(r["emo"] in LABELS and r["duration"] > 0 for r in rows.values())


@given(damages=DAMAGES)
def test_a_damaged_table_is_prepared_or_named(room, load_recipe, damages):
    (room / "labels.csv").write_bytes(damaged(TABLE.encode(), damages))
    manifests = [room / "save" / f"{split}.json" for split in ("train", "valid", "test")]
    with answers(room):
        load_recipe("TEMPLATE").prepare_template(room, *manifests, LABELS)
        for path in manifests:
            assert all(row["emo"] in LABELS for row in load_manifest(path, LABELS).values())


KEYS = st.sampled_from(
    "seed labels attributes merge_labels fold encoder batch_size train_snr_db test_snrs speeds "
    "noise_test_folders n_experts routing top_k dropout level_rms data_folder corpus x".split()
)
VALUES = st.text(max_size=12) | st.sampled_from(
    [*"null ~ [] {} -1 1e999 [a,b !ref<seed> 20240105 True 3 0.5".split(), "!new:os.getcwd []", ""]
)


@given(pairs=st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=3))
def test_any_command_line_is_loaded_or_named(room, repo_root, pairs):
    words = [word for key, value in pairs for word in (f"--{key}", value)]
    with answers(room, also=()), user_errors():
        hparams_file, _, overrides = parse([str(repo_root / "hparams" / "merit.yaml"), *words])
        overrides |= {"output_folder": str(room / "run")}
        load(hparams_file, overrides)
