"""A benchmark scores a model, another tool's files and another classifier's answers alike."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.noisyemo import build as building
from speechbrain_merit.data.noisyemo.build import build, read_flac
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.errors import (
    AudioError,
    MeritError,
    PredictionsError,
    PretrainedError,
    SettingsError,
)
from speechbrain_merit.evaluation.predictions import read_predictions, write_predictions
from speechbrain_merit.training import enhanced
from speechbrain_merit.training.enhanced import Enhanced
from speechbrain_merit.training.probes import LABELS, PATH, Features, probes
from speechbrain_merit.training.scoring import score

IDS = [f"{speaker}_{emotion}_00" for speaker in (45, 46, 47) for emotion in ("sad", "happy")]


@pytest.fixture(scope="module")
def bench(minimerit, repo_root, tmp_path_factory):
    """Six utterances, clean, in pink noise at two SNRs, and clipped."""
    settings = read_settings(repo_root / "recipes" / "NoisyEmo" / "minimerit.yaml")._replace(
        data_folder=str(minimerit / "speech"),
        noises=("pink",),
        snrs=(0, 20),
        distortions=("clipping",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "RECORDINGS", 1)
        return build(settings, tmp_path_factory.mktemp("benchmark") / "b", jobs=0, only=IDS)


def tool(bench, folder, late=0, rate=16000, edit=None):
    """The files of a tool that does nothing but delay."""
    for item in Benchmark(bench).items:
        wave = read_flac(bench / item.file)
        wave = np.concatenate([np.zeros(late, np.int16), wave])[: len(wave)]
        path = (folder / item.file).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, wave, rate, "PCM_16")
    return folder


def test_items_are_clean_first_then_noise_then_distortions(bench):
    found = list(dict.fromkeys((i.noise_set, i.snr_db) for i in Benchmark(bench).items))
    clipped = [(f"clipping {severity}", None) for severity in (1, 2, 3)]
    assert found == [(None, None), ("pink", 0), ("pink", 20), *clipped]


def test_the_model_that_ships_is_scored_as_in_every_evaluation(bench, tmp_path, repo_root):
    out = tmp_path / "out"
    options = [f"--output_folder={out}", "--n_jobs=0", "--num_workers=0", "--n_examples=1"]
    score([str(repo_root / "pretrained" / "merit-tiny"), "--benchmark", str(bench), *options])
    folder = out / "evaluation_NoisyEmo-MiniMERIT"
    header, rows = read_predictions(folder / "predictions.jsonl")
    rows = list(rows)
    assert len(rows) == 36 and header["tasks"] == ["se", "ser"]
    for row in rows:  # what was asked for is what was heard
        if row["snr_db"] is not None:
            assert row["measured_snr_db"] == pytest.approx(row["snr_db"], abs=0.2)
    text = (folder / "metrics.md").read_text()
    assert "| pink, 0 dB | 6 |" in text and "| clipping 3 | 6 |" in text
    found = json.loads((folder / "summary.json").read_text())
    by_condition = json.loads((folder / "metrics.json").read_text())
    noisy = [row["f1_macro"] for row in by_condition if row["snr_db"] is not None]
    assert found["f1_mean"] == pytest.approx(np.mean(noisy))
    assert found["si_sdr_gain"] == pytest.approx(
        np.mean([r["si_sdr"] - r["si_sdr_noisy"] for r in by_condition if r["snr_db"] is not None])
    )


def test_tables_of_a_benchmark_are_made_again_of_its_predictions(bench, tmp_path):
    table = answers(bench, tmp_path / "x.csv", ["file", "predicted"], lambda i: [i.file, i.label])
    options = ["--predicted", str(table), "--output_folder", str(tmp_path / "out")]
    score(["--benchmark", str(bench), *options])
    folder = tmp_path / "evaluation_NoisyEmo-MiniMERIT"
    shutil.copytree(tmp_path / "out" / "evaluation", folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    for name in before.keys() - {"predictions.jsonl"}:
        (folder / name).unlink()
    score([str(tmp_path), "--benchmark", str(bench), "--from_predictions", "True"])
    assert {p.name: p.read_bytes() for p in folder.glob("*.json")} == {
        name: content for name, content in before.items() if name.endswith(".json")
    }


def test_a_tool_that_only_delays_scores_as_its_input_once_that_is_removed(bench, tmp_path):
    folder = tool(bench, tmp_path / "tool", late=160)
    options = ["--enhanced", str(folder), "--output_folder", str(tmp_path / "out"), "--n_jobs", "0"]
    score(["--benchmark", str(bench), *options])
    evaluation = tmp_path / "out" / "evaluation"
    rows = json.loads((evaluation / "metrics.json").read_text())
    for row in rows:
        if row["snr_db"] is not None:
            assert row["si_sdr"] == pytest.approx(row["si_sdr_noisy"], abs=0.3)
    kept = json.loads((evaluation / "kept.json").read_text())
    assert {row["probe"] for row in kept} == {"clean", "noise"}
    together = [row for row in kept if row["noise_set"] == "all noise"]
    assert all(abs(row["difference"]) < 0.2 for row in together)


def test_a_quick_scoring_leaves_out_pesq_and_stoi_alone(bench, tmp_path):
    folder = tool(bench, tmp_path / "tool")
    options = ["--enhanced", str(folder), "--output_folder", str(tmp_path / "out"), "--n_jobs", "0"]
    rows = score(["--benchmark", str(bench), *options, "--quick", "True"])
    for row in rows[1:3]:  # in noise
        assert row["pesq"] is None and row["stoi_noisy"] is None and row["pesq_failed"] == 0
        assert row["si_sdr"] == pytest.approx(row["snr_db"], abs=0.5) and row["ssnr"] is not None
    found = json.loads((tmp_path / "out" / "evaluation" / "summary.json").read_text())
    assert found["si_sdr_gain"] == 0 and found["f1_mean"] is not None


def test_a_delay_is_said_and_files_that_differ_are_named(bench, tmp_path, caplog):
    folder = tool(bench, tmp_path / "tool", late=80)
    item = Benchmark(bench).items[0]
    path = (folder / item.file).with_suffix(".wav")
    sf.write(path, read_flac(bench / item.file)[:-50], 16000, "PCM_16")
    files = Enhanced(Benchmark(bench), folder)
    assert files.delay == 80 and "80 samples (5 ms) late" in caplog.text
    assert "0 samples late and not 80" in "".join(files.problems[item.file])
    assert "50 samples shorter, filled up" in files.problems[item.file]
    assert len(files.read(item)) == item.samples


def test_outputs_of_two_tools_are_told_by_their_delays_or_formats(bench, tmp_path, caplog):
    one, two = tool(bench, tmp_path / "one"), tool(bench, tmp_path / "two", late=320)
    shutil.copytree(two / "pink", one / "pink", dirs_exist_ok=True)
    Enhanced(Benchmark(bench), one)
    assert "outputs of two tools" in caplog.text
    item = Benchmark(bench).items[3]
    path = (one / item.file).with_suffix(".wav")
    sf.write(path, read_flac(bench / item.file), 16000, "PCM_24")
    with pytest.raises(AudioError, match="of two formats .*WAV PCM_16.*WAV PCM_24"):
        Enhanced(Benchmark(bench), one)


def late_by(bench, folder, files, samples=400):
    """Makes files of a tool late."""
    for item in Benchmark(bench).items:
        if item.file in files:
            wave = read_flac(bench / item.file)
            wave = np.concatenate([np.zeros(samples, np.int16), wave])[: len(wave)]
            sf.write((folder / item.file).with_suffix(".wav"), wave, 16000, "PCM_16")


def test_a_late_file_is_found_in_every_condition(bench, tmp_path):
    benchmark = Benchmark(bench)
    of = {(i.noise_set, i.snr_db): i for i in benchmark.items}
    files = {of[key].file for key in (("pink", 0), ("pink", 20), ("clipping 3", None))}
    folder = tool(bench, tmp_path / "tool")
    late_by(bench, folder, files)
    found = Enhanced(benchmark, folder)
    assert found.delay == 0 and found.own == dict.fromkeys(files, 400)
    assert {*found.problems} == files
    item = of["pink", 0]
    assert (found.read(item)[:-400] == benchmark.noisy(item)[:-400]).all()


def test_outputs_of_two_tools_are_told_where_only_the_noisiest_are_anothers(
    bench, tmp_path, caplog
):
    folder = tool(bench, tmp_path / "tool")
    late_by(bench, folder, {i.file for i in Benchmark(bench).items if i.snr_db == 0})
    Enhanced(Benchmark(bench), folder)
    assert "6 of 36 files have another delay" in caplog.text


def test_another_recording_of_about_the_same_length_is_listed(bench, tmp_path):
    folder, benchmark = tool(bench, tmp_path / "tool"), Benchmark(bench)
    one, two = ((folder / i.file).with_suffix(".wav") for i in benchmark.items[:2])
    one.write_bytes(two.read_bytes())
    problems = Enhanced(benchmark, folder).problems
    assert any("is it another one's" in said for said in problems[benchmark.items[0].file])


def test_a_cut_flac_is_named(bench, tmp_path):
    folder = tmp_path / "tool"
    shutil.copytree(bench, folder)
    path = folder / Benchmark(bench).items[-1].file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=f"{path.name} cannot be read"):
        Enhanced(Benchmark(bench), folder)


def test_enhanced_files_are_scored_where_the_probes_know_no_such_labels(bench, tmp_path):
    shutil.copytree(bench, tmp_path / "b")
    text = (bench / "manifest.csv").read_text()
    (tmp_path / "b" / "manifest.csv").write_text(text.replace(",happy,", ",proud,"))
    note = json.loads((tmp_path / "b" / "benchmark.json").read_text())
    note["emotions"]["happy"] = "proud"
    (tmp_path / "b" / "benchmark.json").write_text(json.dumps(note))
    folder = tool(bench, tmp_path / "tool")
    options = ["--enhanced", str(folder), "--output_folder", str(tmp_path / "out"), "--n_jobs", "0"]
    rows = score(["--benchmark", str(tmp_path / "b"), *options])
    assert len(rows) == 6 and rows[1]["si_sdr"] is not None


def wave_of(n, value=0.1):
    return np.full(n, value, dtype=np.float32)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda path: path.unlink(), "is missing: enhance clean"),
        (lambda path: path.write_bytes(b"RIFF"), "cannot be read"),
        (lambda path: sf.write(path, wave_of(9000), 48000, "PCM_16"), "at 48000 Hz: bring it"),
        (lambda path: sf.write(path, wave_of((20000, 2)), 16000, "PCM_16"), "has 2 channels"),
        (lambda path: sf.write(path, wave_of(3000), 16000, "PCM_16"), "has 3000 samples and"),
        (lambda path: sf.write(path, wave_of(90000), 16000, "PCM_16"), "has 90000 samples"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(bench, tmp_path, spoil, words):
    folder = tool(bench, tmp_path / "tool")
    path = (folder / Benchmark(bench).items[0].file).with_suffix(".wav")
    spoil(path)
    with pytest.raises(AudioError, match=words) as error:
        Enhanced(Benchmark(bench), folder)
    assert path.stem in str(error.value)


def test_nan_in_a_file_is_named_and_silence_is_listed(bench, tmp_path):
    folder, benchmark = tmp_path / "tool", Benchmark(bench)
    for item in benchmark.items:
        path = (folder / item.file).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, benchmark.noisy(item), 16000, "FLOAT")
    item = benchmark.items[1]
    path = (folder / item.file).with_suffix(".wav")
    sf.write(path, np.zeros(item.samples, dtype=np.float32), 16000, "FLOAT")
    files = Enhanced(benchmark, folder)
    files.write_problems(tmp_path / "problems.csv")
    assert list(csv.reader(open(tmp_path / "problems.csv")))[1] == [item.file, "silent"]
    sf.write(path, np.full(item.samples, np.nan, dtype=np.float32), 16000, "FLOAT")
    with pytest.raises(AudioError, match="holds NaN"):
        Enhanced(benchmark, folder)


def answers(bench, path, columns, line):
    rows = [line(item) for item in Benchmark(bench).items]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_answers_of_another_classifier_are_scored(bench, tmp_path):
    def right(item):
        return [item.file, *(float(label == item.label) for label in Benchmark(bench).labels)]

    table = answers(bench, tmp_path / "mine.csv", ["file", *Benchmark(bench).labels], right)
    options = ["--predicted", str(table), "--output_folder", str(tmp_path / "out")]
    rows = score(["--benchmark", str(bench), *options])
    assert all(row["f1_macro"] == 1.0 and row["pesq"] is None for row in rows)
    table = answers(bench, tmp_path / "b.csv", ["file", "predicted"], lambda i: [i.file, "sad"])
    rows = score(["--benchmark", str(bench), *options[:1], str(table), *options[2:]])
    assert all(row["uar"] == 0.5 for row in rows)


def test_probabilities_count_where_a_table_also_names_the_answer(bench, tmp_path):
    labels = Benchmark(bench).labels

    def unsure(item):
        return [item.file, item.label, *(0.7 if label == item.label else 0.1 for label in labels)]

    table = answers(bench, tmp_path / "x.csv", ["file", "predicted", *labels], unsure)
    score(["--benchmark", str(bench), "--predicted", str(table), f"--output_folder={tmp_path}"])
    _, rows = read_predictions(tmp_path / "evaluation" / "predictions.jsonl")
    assert all(max(row["probabilities"]) == 0.7 for row in rows)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "it has none"),
        ("file,angry\n", "needs the columns"),
        ("file,predicted\nx,bored\n", "line 2: 'bored' is none of"),
        ("file,predicted\nx,sad\nx,sad\n", "line 3: x is there twice"),
        ("file,predicted\nx,sad\n", "has no row for clean/.*35 others"),
        ("file,angry,sad,happy,neutral\nx,1,nan,0,0\n", "no probabilities that sum to 1"),
        ("file,angry,sad,happy,neutral\nx,1,a,0,0\n", "is no number"),
        ("file,angry,sad,happy,neutral\nx,1.0005,0,0,0\n", "no probabilities that sum to 1"),
        ("file,angry,sad,happy,neutral\nx,1,0,0,0,0\n", "more fields than columns"),
        ("file,angry,sad,happy,neutral\nx,1\n", "is no number"),
    ],
)
def test_a_table_of_answers_that_cannot_be_used_is_named_with_its_line(
    bench, tmp_path, text, words
):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(PredictionsError, match=words):
        score(["--benchmark", str(bench), "--predicted", str(tmp_path / "x.csv")])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--enhanced", "a", "--predicted", "b"],
        ["RUN", "--enhanced", "a"],
        ["--predicted", "a", "--seed", "3"],
        ["--enhanced", "a", "--emotion_only", "yes"],
        ["--enhanced", "a", "--quick", "1"],
        ["--enhanced", "a", "--n_jobs", "all"],
    ],
)
def test_options_that_do_not_go_together_are_refused(bench, arguments):
    with pytest.raises(SettingsError, match="--enhanced|_only is yes|--quick is 1|--n_jobs is all"):
        score(["--benchmark", str(bench), *arguments])


@pytest.mark.parametrize(
    "arguments",
    [["--test_snrs", "[-10]"], ["--corpus=nEMO"], ["--from_predictions", "True", "--corpus", "x"]],
)
def test_what_a_benchmark_has_decided_already_is_refused(bench, arguments):
    with pytest.raises(SettingsError, match="without effect beside the other options"):
        score(["RUN", "--benchmark", str(bench), *arguments])


def test_a_benchmark_is_scored_unless_predictions_are_asked_for(bench, tmp_path):
    with pytest.raises(MeritError, match="holds no hyperparams.yaml: give the folder of a run"):
        score([str(tmp_path), "--benchmark", str(bench), "--from_predictions", "False"])
    with pytest.raises(MeritError, match="holds no predictions"):
        score([str(tmp_path), "--benchmark", str(bench), "--from_predictions=True"])


def test_a_folder_that_is_no_benchmark_is_named(tmp_path):
    with pytest.raises(MeritError, match="manifest.csv is missing"):
        score(["--benchmark", str(tmp_path), "--predicted", "x.csv"])


def test_a_damaged_manifest_is_named(bench, tmp_path):
    shutil.copy(bench / "benchmark.json", tmp_path)
    text = (bench / "manifest.csv").read_text()
    (tmp_path / "manifest.csv").write_text(text.replace(",pink,20,", ",pink,loud,", 1))
    with pytest.raises(MeritError, match="manifest.csv is damaged .*loud"):
        score(["--benchmark", str(tmp_path), "--predicted", "x.csv"])


def test_a_benchmark_is_known_by_its_samples(bench, tmp_path):
    shutil.copy(bench / "benchmark.json", tmp_path)
    text = (bench / "manifest.csv").read_text()
    (tmp_path / "manifest.csv").write_text(text.replace(".wav,", ".flac,"))  # `source` alone
    assert Benchmark(tmp_path).digest == Benchmark(bench).digest
    one = Benchmark(bench).items[0].file
    line = next(line for line in text.splitlines() if line.startswith(one))
    other = line.replace(line.split(",")[2], "0" * 64)
    (tmp_path / "manifest.csv").write_text(text.replace(line, other))
    assert Benchmark(tmp_path).digest != Benchmark(bench).digest


def test_probes_of_another_encoder_are_refused(tmp_path):
    with np.load(PATH) as file:
        arrays = {name: file[name] for name in file.files}
    assert Features(path=PATH).digest == arrays["encoder"]
    np.savez(tmp_path / "probes.npz", **{**arrays, "encoder": "0" * 16})
    with pytest.raises(PretrainedError, match="was made on another encoder"):
        Features(path=tmp_path / "probes.npz")


def test_the_probes_are_small_and_fit_the_encoder():
    assert PATH.stat().st_size <= 1 << 20
    for weights, bias in probes().values():
        assert weights.shape == (len(LABELS), 3840) and bias.shape == (len(LABELS),)


def test_two_tools_whose_folders_have_one_name_do_not_share_results(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        answers(bench, tmp_path / place / "x.csv", ["file", "predicted"], lambda i: [i.file, "sad"])
    score(["--benchmark", str(bench), "--predicted", "a/x.csv"])
    score(["--benchmark", str(bench), "--predicted", str(tmp_path / "a" / "x.csv")])  # again
    with pytest.raises(SettingsError, match="a/x.csv was scored as: give --output_folder"):
        score(["--benchmark", str(bench), "--predicted", "b/x.csv"])


@pytest.mark.parametrize(
    "others, taken", [({}, True), ({"probes": "another"}, False), ({"probe_weights": "x"}, False)]
)
def test_committed_answers_to_the_noisy_input_are_taken_where_they_are_the_same_test(
    bench, tmp_path, monkeypatch, others, taken
):
    """A row that says `angry` of everything is told from what probes would answer."""
    benchmark, features = Benchmark(bench), Features()
    marks = {"probes": features.digest, "probe_weights": features.weights}
    monkeypatch.setattr(Benchmark, "committed", lambda self, name: tmp_path / f"{name}.jsonl.xz")
    rows = [enhanced._row(i, item, None) for i, item in enumerate(benchmark.items)]
    for probe, name in enhanced.COMMITTED.items():
        header = enhanced._header(benchmark, probe, ["ser"])
        header["settings"] |= {**marks, **others}
        own = [{**row, "probabilities": [1.0, 0.0, 0.0, 0.0]} for row in rows]
        write_predictions(tmp_path / f"{name}.jsonl.xz", header, own)
    found = enhanced.committed_answers(benchmark, marks)
    assert (found is not None) == taken
    if taken:
        assert all((chances[:, 0] == 1).all() for chances in found.values())
    (tmp_path / "noisy-input-probe-noise.jsonl.xz").unlink()
    assert enhanced.committed_answers(benchmark, marks) is None
