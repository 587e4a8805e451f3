"""EMOVO, TESS, SAVEE, JL-Corpus, EmotionTTS, ESD and MELD, as their owners publish them."""

import logging
import shutil
from collections import Counter

import pytest

from speechbrain_merit.data import corpora
from speechbrain_merit.data.few_speakers import few_speakers
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.errors import PreparationError
from tests.recipes.test_preparations import LABELS, SPLITS, fill, wav  # noqa: F401 (a fixture)

SEVEN = [*LABELS, "disgust", "fearful", "surprised"]


@pytest.fixture
def prepare(load_recipe, tmp_path):
    """Prepares a corpus and gives {split: rows} of the manifests that it leaves."""

    def run(corpus, folder, labels=LABELS, **options):
        save = tmp_path / "save"
        shutil.rmtree(save, ignore_errors=True)
        paths = {split: save / f"{split}.json" for split in SPLITS}
        snake = corpus.lower().replace("-", "_")
        module = load_recipe(corpus)
        getattr(module, f"prepare_{snake}")(folder, *paths.values(), labels, **options)
        root = {"data_root": str(folder)}
        return {s: load_manifest(p, labels, root) for s, p in paths.items() if p.is_file()}

    return run


def speakers(rows):
    return {split: sorted({row["spk_id"] for row in own.values()}) for split, own in rows.items()}


def emotions(rows):
    return {row["emo"] for row in rows.values()}


# ---- few speakers


@pytest.fixture
def emovo(tmp_path, wav):  # noqa: F811
    for speaker in ("f1", "f2", "f3", "m1", "m2", "m3"):
        names = [f"{e}-{speaker}-{s}" for e in ("rab", "tri", "gio", "neu", "dis", "pau", "sor")
                 for s in ("b1", "l2", "n5", "d1")]  # fmt: skip
        fill(tmp_path / "EMOVO" / speaker, names, wav)
    return tmp_path / "EMOVO"


def test_emovo_is_for_training_unless_a_fold_is_asked_for(prepare, emovo):
    rows = prepare("EMOVO", emovo)
    assert speakers(rows) == {"train": ["f1", "f2", "f3", "m1", "m2", "m3"]}
    assert len(rows["train"]) == 6 * 4 * 4
    row = rows["train"]["gio-m2-n5"]
    assert (row["emo"], row["gender"]) == ("happy", "male")
    rows = prepare("EMOVO", emovo, SEVEN, fold=1)
    assert speakers(rows) == {"train": ["f2", "f3", "m1"], "valid": ["m2"], "test": ["f1", "m3"]}
    assert emotions(rows["train"]) == set(SEVEN)


def test_tess_and_its_one_odd_name(prepare, tmp_path, wav):  # noqa: F811
    for voice in ("OAF", "YAF"):
        for emotion in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad"):
            fill(tmp_path / "TESS" / f"{voice}_{emotion}", [f"{voice}_back_{emotion}"], wav)
    fill(tmp_path / "TESS" / "OAF_neutral", ["OA_bite_neutral"], wav)
    rows = prepare("TESS", tmp_path / "TESS", SEVEN)
    assert speakers(rows) == {"train": ["OAF", "YAF"]} and len(rows["train"]) == 15
    assert rows["train"]["YAF_back_ps"]["emo"] == "surprised"
    with pytest.raises(PreparationError, match="fold: TESS has 2 speakers, too few"):
        prepare("TESS", tmp_path / "TESS", fold=1)


@pytest.mark.parametrize("flat", [False, True])
def test_savee_in_folders_and_in_one(prepare, tmp_path, wav, flat):  # noqa: F811
    for voice in ("DC", "JE", "JK", "KL"):
        names = [f"{emotion}01" for emotion in ("a", "sa", "h", "n", "d", "f", "su")]
        folder = tmp_path / "AudioData" if flat else tmp_path / "AudioData" / voice
        fill(folder, [f"{voice}_{name}" for name in names] if flat else names, wav)
    rows = prepare("SAVEE", tmp_path / "AudioData", SEVEN, fold=2)
    assert speakers(rows) == {"train": ["JK", "KL"], "valid": ["DC"], "test": ["JE"]}
    assert rows["test"]["JE_sa01"]["emo"] == "sad" and emotions(rows["test"]) == set(SEVEN)
    with pytest.raises(PreparationError, match="fold: 5 is none of 1 to 4"):
        prepare("SAVEE", tmp_path / "AudioData", fold=5)


def test_savee_says_what_it_passes_over(prepare, tmp_path, wav, caplog):  # noqa: F811
    for voice in ("DC", "JE", "JK", "KL"):
        fill(tmp_path / voice, [f"{emotion}01" for emotion in ("a", "sa", "h", "n")], wav)
    fill(tmp_path / "KL (1)", ["a02", "sa02"], wav)
    with caplog.at_level(logging.WARNING):
        assert len(prepare("SAVEE", tmp_path)["train"]) == 16
    assert "SAVEE: 2 recordings passed over" in caplog.text and "KL (1)/a02.wav" in caplog.text


def test_jl_corpus_and_its_secondary_emotions(prepare, tmp_path, wav):  # noqa: F811
    every = [*LABELS, "excited", "anxious", "apologetic", "assertive", "concerned", "encouraging"]
    for voice in ("female1", "female2", "male1", "male2"):
        fill(tmp_path / "JL", [f"{voice}_{emotion}_10a_1" for emotion in every], wav)
    rows = prepare("JL-Corpus", tmp_path / "JL", merge_labels={"excited": "happy"})
    assert len(rows["train"]) == 4 * 5
    assert rows["train"]["male2_excited_10a_1"]["emo"] == "happy"
    assert rows["train"]["male2_excited_10a_1"]["gender"] == "male"
    assert len(prepare("JL-Corpus", tmp_path / "JL", every)["train"]) == 40


def test_jl_corpus_as_published_has_copies_for_its_listening_test(prepare, tmp_path, wav):  # noqa: F811
    raw = tmp_path / "JL" / "Raw JL corpus (unchecked and unannotated)"
    names = [f"{v}_{e}_10a_1" for v in ("female1", "male1", "female2", "male2") for e in LABELS]
    fill(raw / "JL(wav+txt)", names, wav)
    heard = raw / "Perception test material on Qualtrics"
    fill(heard / "main_training", names[:3], wav)
    rows = prepare("JL-Corpus", tmp_path / "JL")["train"]
    assert len(rows) == 16 and all("JL(wav+txt)" in row["wav"] for row in rows.values())


@pytest.mark.parametrize("count, folds", [(3, 3), (4, 4), (6, 5), (11, 5)])
def test_every_fold_of_few_speakers_tests_others_and_shares_none(count, folds):
    everyone, tested = [f"s{n}" for n in range(count)], []
    for fold in range(1, folds + 1):
        splits = few_speakers("MY", everyone, fold)
        assert sorted(sum(splits.values(), [])) == sorted(everyone) and all(splits.values())
        tested += splits["test"]
    assert sorted(tested) == sorted(everyone)
    for wrong in (0, folds + 1, True, "1"):
        with pytest.raises(PreparationError, match=f"none of 1 to {folds}"):
            few_speakers("MY", everyone, wrong)


def hparams(tmp_path, corpus, data, **more):
    save = tmp_path / "run"
    manifests = {f"{split}_annotation": str(save / f"{split}.json") for split in SPLITS}
    keys = {"corpus": corpus, "data_folder": data, "save_folder": str(save), "labels": LABELS}
    return {**keys, **manifests, "skip_prep": False, **more}


def test_a_corpus_of_few_speakers_trains_beside_another_and_not_alone(tmp_path, emovo, wav):  # noqa: F811
    names = [f"{voice}a01{e}" for voice in "03 08 09 10 11 12 13 14 15 16".split() for e in "WTFN"]
    fill(tmp_path / "EmoDB" / "wav", names, wav)
    folders = {"EmoDB": str(tmp_path / "EmoDB"), "EMOVO": str(emovo)}
    # a fold that was prepared in the same folder leaves nothing behind
    corpora.prepare_corpora(hparams(tmp_path, "EmoDB,EMOVO", folders, fold=1))
    tests = load_manifest(tmp_path / "run" / "test.json")
    assert {row["corpus"] for row in tests.values()} == {"EmoDB", "EMOVO"}
    corpora.prepare_corpora(hparams(tmp_path, "EmoDB,EMOVO", folders))
    found = {split: load_manifest(tmp_path / "run" / f"{split}.json") for split in SPLITS}
    sources = {split: {row["corpus"] for row in rows.values()} for split, rows in found.items()}
    assert sources == {"train": {"EmoDB", "EMOVO"}, "valid": {"EmoDB"}, "test": {"EmoDB"}}
    with pytest.raises(PreparationError, match="EMOVO has so few speakers that all of them train"):
        corpora.prepare_corpora(hparams(tmp_path, "EMOVO", str(emovo)))


def test_all_of_a_corpus_may_be_for_one_split(tmp_path, emovo, wav):  # noqa: F811
    names = [f"{voice}a01{e}" for voice in "03 08 09 10 11 12 13 14 15 16".split() for e in "WTFN"]
    fill(tmp_path / "EmoDB" / "wav", names, wav)
    folders = {"EmoDB": str(tmp_path / "EmoDB"), "EMOVO": str(emovo)}

    def sources(whole, needed=SPLITS):
        keys = hparams(tmp_path, "EmoDB,EMOVO", folders, whole_corpora=whole)
        corpora.prepare_corpora(keys, needed)
        found = {}
        for split in needed:
            rows = load_manifest(tmp_path / "run" / f"{split}.json").values()
            counts = Counter(row["corpus"] for row in rows)
            found[split] = {name: counts[name] for name in ("EmoDB", "EMOVO")}
        return found

    own = sources({})
    assert own["train"]["EMOVO"] == 6 * 16 and min(n["EmoDB"] for n in own.values()) > 0
    valid = sources({"EMOVO": "valid"})
    assert [n["EMOVO"] for n in valid.values()] == [0, 6 * 16, 0]
    assert [n["EmoDB"] for n in valid.values()] == [n["EmoDB"] for n in own.values()]
    assert sources({"EMOVO": "valid"}, ("test",)) == {"test": valid["test"]}
    with pytest.raises(PreparationError, match=r"\{'EmoDB': 'test'\} leaves nothing for valid"):
        sources({"EmoDB": "test"})
    assert sources({"EmoDB": "test"}, ("train", "test"))["test"]["EmoDB"] == 40


@pytest.mark.parametrize(
    "whole, words",
    [
        ({"nEMO": "valid"}, "nEMO is none of EmoDB, EMOVO"),
        ({"EMOVO": "dev"}, "EMOVO is for 'dev', which is none of train, valid, test"),
        ({"EMOVO": "valid", "EmoDB": "train"}, "at least one has to keep splits of its own"),
    ],
)
def test_a_whole_corpus_that_cannot_be_is_named(tmp_path, whole, words):
    folders = {"EmoDB": str(tmp_path), "EMOVO": str(tmp_path)}
    with pytest.raises(PreparationError, match=words):
        corpora.prepare_corpora(hparams(tmp_path, "EmoDB,EMOVO", folders, whole_corpora=whole))


def test_a_corpus_of_few_speakers_is_scored_whole(tmp_path, emovo, caplog):
    keys = hparams(tmp_path, "EMOVO", str(emovo))
    with caplog.at_level(logging.WARNING):
        corpora.prepare_corpora(keys, ("test",))
    assert len(load_manifest(tmp_path / "run" / "test.json")) == 6 * 16
    assert "all of it is the test" in caplog.text


# ---- EmotionTTS


def test_emotiontts(prepare, tmp_path, wav):  # noqa: F811
    root, numbers = tmp_path / "Emotional", ("00001", "00100", "00101", "00205", "00400")
    for voice in ("ema", "emb", "emf", "emg", "emh"):
        fill(root / "plain-to-emotional" / voice / "wav", [f"{voice}{n}" for n in numbers], wav)
    for voice in "abcdeklmno":
        folder = root / "emotional-to-emotional" / f"ne{voice}" / "wav"
        fill(folder, [f"ne{voice}{n}" for n in numbers], wav)
    rows = prepare("EmotionTTS", root)
    assert {split: len(own) for split, own in rows.items()} == {
        "train": 45,
        "valid": 15,
        "test": 15,
    }
    assert speakers(rows)["test"] == ["emh", "nee", "neo"]
    found = {name[-5:]: row["emo"] for name, row in rows["test"].items()}
    assert [found[n] for n in numbers] == ["neutral", "neutral", "happy", "angry", "sad"]
    assert speakers(prepare("EmotionTTS", root, fold=1))["test"] == ["ema", "nea", "nek"]


# ---- ESD


@pytest.fixture
def esd(tmp_path, wav):  # noqa: F811
    numbers = [1, 21, 51, 351, 371, 401, 701, 721, 751, 1051, 1071, 1101, 1401, 1421, 1451]
    for speaker in range(1, 21):
        names = [f"{speaker:04d}_{number:06d}" for number in numbers]
        fill(tmp_path / "ESD" / f"{speaker:04d}" / "Angry", names, wav)  # whatever folder
    return tmp_path / "ESD"


def test_esd_by_its_own_splits_which_share_speakers(prepare, esd, caplog):
    with caplog.at_level(logging.WARNING):
        rows = prepare("ESD", esd, [*LABELS, "surprised"])
    assert [len(rows[split]) for split in SPLITS] == [100, 100, 100]
    assert "20 speakers of 'train' are in 'test' too" in caplog.text
    found = [(rows["test"][f"0011_{n:06d}"]["emo"]) for n in (21, 371, 721, 1071, 1421)]
    assert found == ["neutral", "angry", "happy", "sad", "surprised"]
    languages = [rows["valid"][f"{s}_000001"]["language"] for s in ("0010", "0011")]
    assert languages == ["Mandarin", "English"]


def test_esd_by_folds_shares_none_and_has_both_languages(prepare, esd, caplog):
    rows = prepare("ESD", esd, fold=1)
    assert speakers(rows)["test"] == ["0001", "0006", "0011", "0016"]
    assert len(rows["test"]) == 4 * 12 and "speakers of" not in caplog.text


# ---- MELD


def table(rows):
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season"
    lines = [f'{i},"Well, that’s {i}",{who},{emotion},neutral,{d},{u},8'
             for i, (who, emotion, d, u) in enumerate(rows)]  # fmt: skip
    return "\n".join([head, *lines]).encode("cp1252")


@pytest.fixture
def meld(tmp_path, wav):  # noqa: F811
    root = tmp_path / "MELD.Raw"
    said = ["anger", "sadness", "joy", "neutral", "surprise"]
    for part, folder, file in (
        ("train", "train_splits", "train_sent_emo.csv"),
        ("dev", "dev_splits_complete", "dev_sent_emo.csv"),
        ("test", "output_repeated_splits_test", "test_sent_emo.csv"),
    ):
        rows = [("Joey" if u % 2 else "Ross", emotion, 0, u) for u, emotion in enumerate(said)]
        fill(root / part / folder, [f"dia0_utt{u}" for u in range(len(said))], wav)
        (root / part / file).write_bytes(table(rows))
    return root


def test_meld(prepare, meld, tmp_path, caplog):
    (meld / "test" / "output_repeated_splits_test" / "dia0_utt0.wav").unlink()
    with caplog.at_level(logging.WARNING):
        rows = prepare("MELD", meld)
    assert [len(rows[split]) for split in SPLITS] == [4, 4, 3]
    assert rows["valid"]["valid_dia0_utt2"]["emo"] == "happy"
    assert rows["valid"]["valid_dia0_utt2"]["spk_id"] == "Ross"
    assert "2 speakers of 'train' are in 'test' too" in caplog.text
    assert "test_dia0_utt0" in (tmp_path / "save" / "unmatched.csv").read_text()


def test_meld_takes_what_was_cut_again_and_leaves_out_what_holds_other_scenes(
    prepare,
    meld,
    wav,  # noqa: F811
    caplog,
):
    place = meld / "test" / "output_repeated_splits_test"
    fill(place, ["final_videos_testdia0_utt1", "dia38_utt4", "dia220_utt0"], wav)
    fill(place, ["final_videos_testdia220_utt0"], wav)
    (place / "._dia0_utt2.wav").write_bytes(b"\0\5\x16\7")  # of macOS, beside every file
    rows = [("Joey", "anger", 38, 4), ("Joey", "anger", 220, 0)]
    said = [("Ross", emotion, 0, u) for u, emotion in enumerate(("anger", "sadness", "joy"))]
    rows += said + [("Ross", "neutral", 0, 3)]
    (meld / "test" / "test_sent_emo.csv").write_bytes(table(rows))
    with caplog.at_level(logging.WARNING):
        test = prepare("MELD", meld)["test"]
    assert {name: row["wav"].rsplit("/", 1)[-1] for name, row in test.items()} == {
        "test_dia0_utt0": "dia0_utt0.wav",
        "test_dia0_utt1": "final_videos_testdia0_utt1.wav",
        "test_dia0_utt2": "dia0_utt2.wav",
        "test_dia0_utt3": "dia0_utt3.wav",
        "test_dia220_utt0": "final_videos_testdia220_utt0.wav",
    }
    assert "left out, as it holds other scenes: " in caplog.text and "dia38_utt4" in caplog.text


def test_meld_with_half_of_its_sound_is_refused(prepare, meld, wav, tmp_path):  # noqa: F811
    rows = [("Ross", emotion, 1, u) for u, emotion in enumerate(["anger", "sadness", "joy"] * 20)]
    rows[0] = ("Ross", "neutral", 1, 0)
    (meld / "train" / "train_sent_emo.csv").write_bytes(table(rows))
    fill(meld / "train" / "train_splits", [f"dia1_utt{u}" for u in range(30)], wav)
    with pytest.raises(PreparationError, match="30 of 60 utterances of 'train' have no sound"):
        prepare("MELD", meld)
    listed = (tmp_path / "save" / "unmatched.csv").read_text()
    assert 'train_dia1_utt59,"in *_sent_emo.csv, not on the disk"' in listed


def test_meld_without_sound_or_tables_says_what_to_do(prepare, meld):
    for path in (meld / "dev" / "dev_splits_complete").iterdir():
        path.rename(path.with_suffix(".mp4.txt"))
    with pytest.raises(FileNotFoundError, match="holds no sound, such as dia0_utt0.wav.*README"):
        prepare("MELD", meld)
    (meld / "dev" / "dev_sent_emo.csv").unlink()
    with pytest.raises(FileNotFoundError, match="has no dev_sent_emo.csv.*https"):
        prepare("MELD", meld)
