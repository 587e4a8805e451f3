"""The recipe of NoisyEmo: its command line, and a leaderboard made of what is committed."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.noisyemo import build as building
from speechbrain_merit.data.noisyemo.build import build
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.errors import MeritError, PredictionsError
from speechbrain_merit.evaluation.predictions import (
    ids_digest,
    read_predictions,
    write_predictions,
)
from speechbrain_merit.evaluation.summary import summary
from speechbrain_merit.training.enhanced import score_predicted


def script(repo_root, name):
    path = repo_root / "recipes" / "NoisyEmo" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"noisyemo_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def board(repo_root, tmp_path, monkeypatch):
    """The leaderboard's script, with a folder and a README of its own."""
    module = script(repo_root, "leaderboard")
    monkeypatch.setattr(module, "ROWS", tmp_path / "leaderboard")
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    module.README.write_text(f"before\n{module.START}old\n{module.END}\nafter\n")
    return module


def scored(path, n_right, corpus="NoisyEmo-Small", probes=None):
    """Predictions on a benchmark of two conditions."""
    rows = [
        {
            "index": i,
            "id": f"{i}",
            "utterance": f"u{i}",
            "speaker": f"s{i % 5}",
            "corpus": None,
            "label": ("sad", "happy")[i % 2],
            "noise_set": None if i < 10 else "pink",
            "snr_db": None if i < 10 else 0,
            "measured_snr_db": None,
            "probabilities": [0.123456, 0.876544][:: 1 if (i % 2 == 1) == (i < n_right) else -1],
            "attributes": None,
            "scores": None,
            "frames": 5,
            "experts": None,
        }
        for i in range(20)
    ]
    header = {"format": 1, "labels": ["sad", "happy"], "attributes": [], "tasks": ["ser"]}
    header |= {"n_experts": None, "checkpoint": None, "model": "", "rows": 20}
    header |= {"settings": {} if probes is None else {"probes": probes}}
    header |= {"ids": ids_digest([r["id"] for r in rows]), "sources": ""}
    header["summary"] = {"system": "x", "corpus": corpus, "command": "python evaluate.py"}
    return write_predictions(path, header, rows)


def test_the_tables_in_the_readme_are_those_of_the_committed_predictions(repo_root):
    module = script(repo_root, "leaderboard")
    text = module.README.read_text(encoding="utf-8")
    assert text.split(module.START)[1].split(module.END)[0] == module.tables()


def test_a_row_that_is_added_has_the_numbers_of_its_predictions(board, tmp_path):
    board.add(scored(tmp_path / "predictions.jsonl", 15), "baseline")
    (tmp_path / "mine").mkdir()
    scored(tmp_path / "mine" / "predictions.jsonl", 18)
    path = board.add(tmp_path / "mine", "My system, 2")
    assert path.name == "my-system-2.jsonl.xz"
    header, rows = read_predictions(path)
    rows = list(rows)
    assert rows[0]["probabilities"] in ([0.1235, 0.8765], [0.8765, 0.1235])
    assert header["summary"]["command"] is None  # holds paths of a machine
    board.write_tables()
    text = board.README.read_text()
    found = summary(header, rows)
    assert f"| My system, 2 | {found['f1_clean']:.3f} | {found['f1_mean']:.3f} |" in text
    assert text.index("My system, 2") < text.index("(baseline)") and text.endswith("after\n")
    assert "old" not in text


def test_the_experts_of_a_system_are_left_out_of_its_row(board, tmp_path):
    header, rows = read_predictions(scored(tmp_path / "mine.jsonl", 15))
    use = {"ser": [0.5, 0.5]}
    heard = [{**row, "experts": use, "experts_by_level": {"ser": [[0.5, 0.5]] * 3}} for row in rows]
    write_predictions(tmp_path / "mine.jsonl", {**header, "n_experts": 2}, heard)
    board.add(scored(tmp_path / "one.jsonl", 15), "baseline")
    path = board.add(tmp_path / "mine.jsonl", "mine")
    assert [row["experts"] for row in read_predictions(path)[1]] == [None] * 20
    board.write_tables()


def test_a_row_of_another_test_is_refused(board, tmp_path):
    board.add(scored(tmp_path / "one.jsonl", 15), "baseline")
    with pytest.raises(PredictionsError, match="not scored with evaluate.py --benchmark"):
        board.add(scored(tmp_path / "two.jsonl", 15, corpus="RAVDESS"), "two")
    path = scored(tmp_path / "three.jsonl", 15)
    header, rows = read_predictions(path)
    rows = [{**row, "id": f"other {row['id']}"} for row in rows]
    header["ids"] = ids_digest([row["id"] for row in rows])
    write_predictions(path, header, rows)
    with pytest.raises(PredictionsError, match="other samples than the rows of Small"):
        board.add(path, "three")


def test_a_row_scored_on_other_samples_of_the_same_names_is_refused(board, tmp_path):
    board.add(scored(tmp_path / "one.jsonl", 15), "baseline")
    header, rows = read_predictions(scored(tmp_path / "two.jsonl", 15))
    path = write_predictions(tmp_path / "three.jsonl", {**header, "sources": "f00d"}, rows)
    with pytest.raises(PredictionsError, match="other samples than the rows of Small"):
        board.add(path, "three")


def test_the_committed_rows_were_scored_on_the_same_samples(repo_root):
    module = script(repo_root, "leaderboard")
    for folder in module.ROWS.iterdir():
        headers = {path.name: read_predictions(path)[0] for path in folder.glob("*.jsonl.xz")}
        baseline = headers[f"{module.BASELINE}.jsonl.xz"]
        assert all(module._same_test(baseline, header) for header in headers.values())


@pytest.mark.parametrize("name", ["Baseline", "...", "a | b"])
def test_a_name_that_no_row_can_have_is_refused(board, tmp_path, name):
    path = scored(tmp_path / "one.jsonl", 15)
    board.add(path, "baseline")
    with pytest.raises(PredictionsError, match="No row can be named"):
        board.add(path, name)


def test_a_row_is_written_over_by_its_own_system_alone(board, tmp_path):
    path = scored(tmp_path / "one.jsonl", 15)
    board.add(path, "My system")
    board.add(path, "My system")
    with pytest.raises(PredictionsError, match="is the row of My system"):
        board.add(path, "my system!")
    assert board.add(path, "Моя").name == "моя.jsonl.xz"


def test_rows_of_probes_on_two_encoders_are_not_mixed(board, tmp_path):
    board.add(scored(tmp_path / "one.jsonl", 15, probes="a"), "baseline")
    board.add(scored(tmp_path / "two.jsonl", 15, probes="a"), "two")
    board.add(scored(tmp_path / "own.jsonl", 15), "a system that answers itself")
    with pytest.raises(PredictionsError, match=r"another encoder \(b\) than the baseline's \(a\)"):
        board.add(scored(tmp_path / "three.jsonl", 15, probes="b"), "three")


def test_a_corpus_without_committed_hashes_says_how_to_compare(repo_root, tmp_path):
    module = script(repo_root, "noisyemo")
    with pytest.raises(MeritError, match="--verify OTHER/manifest.csv"):
        module.main(["emovo.yaml", "--out", str(tmp_path), "--verify"])
    twice = ["--noise", "x=/a", "--noise", "x=/b"]
    for option in (["--noise", "esc50"], ["--jobs", "-2"], twice):
        with pytest.raises(SystemExit):
            module.main(["emovo.yaml", "--out", str(tmp_path), *option])


def test_further_noise_takes_its_seconds_from_the_yaml(repo_root, tmp_path, monkeypatch):
    module, seen = script(repo_root, "noisyemo"), []
    monkeypatch.setattr(module, "build", lambda settings, out, jobs: seen.append(settings))
    options = ["--data_folder", "x", "--noise", "speech_commands=/a", "--noise", "street=/b"]
    module.main(["ravdess.yaml", "--out", str(tmp_path), *options])
    assert seen[0].folders == {
        "speech_commands": {"seconds": 30, "folder": "/a"},
        "street": {"folder": "/b"},
    }
    assert json.dumps(seen[0].noise_sets[-2:]) == '["speech_commands", "street"]'


def test_a_plain_classifier_answers_what_an_enhancer_leaves(repo_root, tmp_path, monkeypatch):
    """The two scripts of benchmarks/ that make rows, from a benchmark to answers that score."""
    for folder in ("speech", "b"):
        (tmp_path / folder).mkdir()
    pitch = {"sad": 90, "happy": 240}
    for speaker in range(6):
        for emotion, hertz in pitch.items():
            wave = np.sin(2 * np.pi * hertz * np.arange(6000) / 16000) * (3000 + 300 * speaker)
            path = tmp_path / "speech" / f"{speaker}_{emotion}.wav"
            sf.write(path, wave.astype(np.int16), 16000, "PCM_16")
    settings = tmp_path / "tones.yaml"
    settings.write_text(
        "corpus: Tones\nfiles: (?P<id>(?P<speaker>\\d)_(?P<emotion>\\w+))\\.wav\n"
        "emotions: {sad: sad, happy: happy}\nvalid: ['4']\ntest: ['5']\n"
        "noises: [pink]\nsnrs: [20]\ndistortions: []\n"
    )
    monkeypatch.setattr(building, "RECORDINGS", 1)
    data = str(tmp_path / "speech")
    bench = build(read_settings(settings, data), tmp_path / "bench", jobs=0)
    monkeypatch.syspath_prepend(str(repo_root / "benchmarks"))
    import classify
    import enhance

    monkeypatch.setitem(enhance.PEERS, "Half", lambda: lambda wave: wave / 2)
    monkeypatch.setattr(sys, "argv", ["enhance.py", "half", str(bench), str(tmp_path / "half")])
    enhance.main()
    monkeypatch.setitem(enhance.PEERS, "Half", lambda: importlib.import_module("no_such_package"))
    with pytest.raises(MeritError, match="Half: No module named 'no_such_package'"):
        enhance.main()
    monkeypatch.setitem(enhance.PEERS, "Half", lambda: lambda wave: wave / 2)
    out = tmp_path / "answers.csv"
    options = ["--data_folder", data, "--encoder", "mini", "--matched", "half"]
    options += ["--heard", str(tmp_path / "half")]
    words = ["classify.py", "whisper", str(settings), str(bench), str(out), *options]
    monkeypatch.setattr(sys, "argv", words)
    classify.main()
    rows = score_predicted(bench, out, tmp_path / "results")
    assert [row["n"] for row in rows] == [2, 2] and rows[0]["f1_macro"] == 1.0


def test_rows_beside_the_test_do_not_reach_the_leaderboard(board, tmp_path):
    plain = scored(tmp_path / "plain.jsonl", 15)
    header, rows = read_predictions(plain)
    rows = list(rows)
    beside = [
        {**row, "id": f"{row['id']}|opus", "noise_set": "opus 1", "snr_db": None}
        for row in rows[:10]
    ]
    rows = [{**row, "index": i} for i, row in enumerate(rows[:10] + beside + rows[10:])]
    header |= {"rows": len(rows), "ids": ids_digest(row["id"] for row in rows)}
    board.add(plain, "baseline")
    board.add(write_predictions(tmp_path / "more.jsonl", header, rows), "with codecs")
    board.write_tables()
    lines = board.README.read_text().splitlines()
    one, other = (line.split("|")[2:] for line in lines if "with codecs" in line or "input" in line)
    assert one == other
