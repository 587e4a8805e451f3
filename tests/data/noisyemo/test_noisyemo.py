"""A benchmark is built alike everywhere, goes on where it was, and tells what makes it another."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.data.noisyemo import build as building
from speechbrain_merit.data.noisyemo.build import build, read_flac
from speechbrain_merit.data.noisyemo.compressed import compressed
from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.manifest import read_manifest, write_manifest
from speechbrain_merit.data.noisyemo.published import read_published, sha256
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.data.noisyemo.settings import Settings, read_settings
from speechbrain_merit.data.noisyemo.verify import alone, read_hashes, verify, write_hashes
from speechbrain_merit.errors import AudioError, PreparationError, SettingsError

RATE = 48000
SUBSET = ("45_angry_00", "46_sad_01", "50_neutral_03")


def published(path, seed, seconds=0.6, rate=RATE, channels=1, peak=9000):
    """A file as a corpus publishes it: 48 kHz, 16 bit, WAV."""
    rng = np.random.default_rng(seed)
    wave = rng.integers(-peak, peak, (int(seconds * rate), channels)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wave, rate, "PCM_16", format="WAV")
    return wave


@pytest.fixture
def corpus(tmp_path):
    """A corpus as published: two test and two validation speakers, one file stereo."""
    folder = tmp_path / "corpus"
    for seed, speaker in enumerate(("v1", "v2", "t1", "t2")):
        for emotion in ("sad", "glad"):
            stereo = 2 if (speaker, emotion) == ("t1", "sad") else 1
            published(folder / speaker / f"{speaker}_{emotion}.wav", seed, channels=stereo)
    return folder


@pytest.fixture
def small(corpus, monkeypatch):
    """Settings with two kinds of noise and two distortions, quickly made."""
    monkeypatch.setattr(building, "RECORDINGS", 1)
    monkeypatch.setattr("speechbrain_merit.data.exact.noises.SECONDS", 1)
    return Settings(
        corpus="Small",
        emotions={"sad": "sad", "glad": "happy"},
        files=r"(?P<id>(?P<speaker>\w\d)_(?P<emotion>[a-z]+))\.wav",
        valid=("v1", "v2"),
        test=("t1", "t2"),
        data_folder=str(corpus),
        noises=("pink", "babble"),  # in no alphabetic order
        snrs=(-5, 20),
        distortions=("clipping", "dc"),
    )


def built(settings, folder):
    return build(settings, folder, jobs=0)


def hashes(folder):
    return {row["file"]: row["sha256"] for row in read_manifest(folder)}


@pytest.fixture(scope="session")
def rebuilt(minimerit, repo_root, tmp_path_factory):
    """Some utterances of the MiniMERIT benchmark under every condition, with all of its noise."""
    settings = read_settings(repo_root / "recipes" / "NoisyEmo" / "minimerit.yaml")
    settings = settings._replace(data_folder=str(minimerit / "speech"))
    return build(settings, tmp_path_factory.mktemp("bench") / "b", jobs=0, only=SUBSET)


def committed(repo_root):
    return read_hashes(repo_root / "recipes" / "NoisyEmo" / "hashes" / "minimerit.csv.xz")


def test_minimerit_rebuilt_has_the_committed_hashes(rebuilt, repo_root):
    wanted, rows = committed(repo_root), read_manifest(rebuilt)
    assert len(rows) == 20 + len(SUBSET) * (1 + 5 * 6 + 7 * 3)
    for row in rows:
        found = (row["sha256"][:16], row["source_sha256"][:16])
        assert found == wanted[row["file"]], row["file"]


@pytest.mark.long
def test_the_whole_of_minimerit_rebuilt_is_the_same_test(minimerit, repo_root, tmp_path):
    recipe = repo_root / "recipes" / "NoisyEmo"
    command = [sys.executable, str(recipe / "noisyemo.py"), "minimerit.yaml", "--out"]
    command += [str(tmp_path / "b"), "--data_folder", str(minimerit / "speech")]
    subprocess.run(command, check=True, cwd=repo_root)
    found = subprocess.run([*command, "--verify"], stdout=subprocess.PIPE, cwd=repo_root)
    assert found.stdout == b"the same test (5012 files)\n"


def test_published_files_are_converted_with_the_stated_rounding(small, tmp_path):
    folder = built(small, tmp_path / "b")
    clean = read_flac(folder / "clean" / "t1_sad.flac")
    stereo = sf.read(f"{small.data_folder}/t1/t1_sad.wav", dtype="int16")[0].astype(int)
    assert len(clean) == len(stereo) // 3
    mono = np.floor((stereo.sum(axis=1) + 1) / 2).astype(np.int16)
    sf.write(tmp_path / "mono.wav", mono, RATE, "PCM_16")
    assert (read_published(tmp_path / "mono.wav").samples == clean).all()


def test_more_bits_are_rounded_to_16_halves_upwards(tmp_path):
    wave = np.array([[1 << 15], [-(1 << 15)], [3 << 16]] * 1000, dtype=np.int32)
    sf.write(tmp_path / "x.wav", wave, 16000, "PCM_24")
    assert read_published(tmp_path / "x.wav").samples[:3].tolist() == [1, 0, 3]


def header_says(path, place, value):
    """Writes a number of 32 bits into the header of a WAV."""
    content = bytearray(path.read_bytes())
    content[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)


def test_fields_of_a_header_that_make_no_sample_another_do_not_matter(tmp_path):
    wave = published(tmp_path / "x.wav", seed=1, rate=16000)
    header_says(tmp_path / "x.wav", 4, (tmp_path / "x.wav").stat().st_size - 7)  # one too many
    header_says(tmp_path / "x.wav", 28, 12345)  # bytes a second
    assert (read_published(tmp_path / "x.wav").samples == wave[:, 0]).all()


def test_a_flac_that_does_not_say_its_length_is_named(tmp_path):
    sf.write(tmp_path / "x.flac", published(tmp_path / "x.wav", seed=1), RATE, "PCM_16")
    content = bytearray((tmp_path / "x.flac").read_bytes())
    content[21] &= 0xF0  # the number of samples has 36 bits
    content[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(content)
    with pytest.raises(AudioError, match="x.flac does not say how long it is"):
        read_published(tmp_path / "x.flac")


def test_a_build_is_the_same_whoever_does_it_and_in_what_order(small, tmp_path):
    one = hashes(built(small, tmp_path / "one"))
    two = hashes(build(small, tmp_path / "two", jobs=2))
    # in spawned processes noise lasts 30 s again: what needs none is alike
    alike = [f for f in one if f.startswith(("clean/", "clipping/", "dc/"))]
    assert len(alike) == 4 * 7 and all(one[f] == two[f] for f in alike)
    (row,) = (r for r in read_manifest(tmp_path / "one") if r["file"] == "pink/-5dB/t2_glad.flac")
    assert (row["speaker"], row["label"], row["level"]) == ("t2", "happy", "-5")
    assert row["sha256"] == sha256(read_flac(tmp_path / "one" / row["file"]))


def test_a_mixture_that_was_made_to_fit_says_its_factor(small, tmp_path):
    folder = built(small, tmp_path / "b")
    rows = {row["file"]: row for row in read_manifest(folder)}
    row = rows["pink/-5dB/t2_sad.flac"]
    noisy = read_flac(folder / row["file"]).astype(float)
    clean = read_flac(folder / "clean" / "t2_sad.flac").astype(float) * int(row["factor"]) / 32768
    ratio = (clean @ clean) / ((noisy - clean) @ (noisy - clean))
    assert abs(10 * np.log10(ratio) + 5) < 0.05 and np.abs(noisy).max() <= 32767


def test_an_interrupted_build_goes_on_and_ends_the_same(small, tmp_path, monkeypatch):
    whole = hashes(built(small, tmp_path / "whole"))
    made, write = [], building.write_flac

    def interrupted(path, samples):
        made.append(path)
        if len(made) == 12:
            raise KeyboardInterrupt
        write(path, samples)

    monkeypatch.setattr(building, "write_flac", interrupted)
    with pytest.raises(KeyboardInterrupt):
        built(small, tmp_path / "b")
    assert not (tmp_path / "b" / "manifest.csv").exists()
    first = made[0]
    stamp = first.stat().st_mtime_ns
    built(small, tmp_path / "b")
    assert first.stat().st_mtime_ns == stamp and hashes(tmp_path / "b") == whole
    assert not list((tmp_path / "b").rglob("*.part")) and not (tmp_path / "b" / ".parts").exists()


def test_what_a_killed_process_was_writing_is_gone_once_the_benchmark_is_whole(small, tmp_path):
    left = tmp_path / "b" / "pink" / f".{'0a' * 16}.part"
    built(small, tmp_path / "b")
    left.write_bytes(b"fLaC")
    built(small, tmp_path / "b")
    assert not left.exists()


def test_a_full_disk_names_the_file_that_it_cannot_hold(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="x.flac"):
            building.write_flac(tmp_path / "x.flac", np.arange(9000, dtype=np.int16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(small, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PreparationError, match="file cannot be written"):
        built(small, tmp_path / "file")


def test_recordings_whose_names_differ_by_a_folder_are_two(small, tmp_path):
    folders = {"street": {"folder": str(tmp_path / "street"), "seconds": 1}}
    for seed, name in enumerate(("day/1.wav", "day_1.wav")):
        published(tmp_path / "street" / name, seed)
    (tmp_path / "street" / "._day_1.wav").write_bytes(b"what macOS leaves")
    folder = built(small._replace(folders=folders), tmp_path / "b")
    rows = [row["file"] for row in read_manifest(folder) if row["kind"] == "noise"]
    assert rows[-2:] == ["noise/street/day/1.flac", "noise/street/day_1.flac"]


def test_digital_silence_within_noise_is_cut_out(small, tmp_path):
    folders = {"clicks": {"folder": str(tmp_path / "clicks")}}
    wave = published(tmp_path / "clicks" / "a.wav", seed=5, seconds=0.1, rate=16000)
    filled = np.concatenate([wave, np.zeros((80000, 1), np.int16), wave[:800]])
    sf.write(tmp_path / "clicks" / "a.wav", filled, 16000, "PCM_16")
    building._noise.cache_clear()
    folder = built(small._replace(folders=folders), tmp_path / "b")  # 5 s, next to all of it empty
    building._noise.cache_clear()
    found = read_flac(folder / "noise" / "clicks" / "a.flac")
    assert (found == np.concatenate([wave, wave[:800]])[:, 0]).all()


def test_linked_folders_of_a_corpus_are_followed(small, corpus, tmp_path):
    (tmp_path / "links").mkdir()
    for folder in corpus.iterdir():
        (tmp_path / "links" / folder.name).symlink_to(folder)
    linked = utterances(small._replace(data_folder=str(tmp_path / "links")))
    assert [row.id for row in linked["test"]] == [row.id for row in utterances(small)["test"]]


def test_a_whole_benchmark_built_again_makes_what_is_missing_alone(small, tmp_path, monkeypatch):
    folder = built(small, tmp_path / "b")
    before = hashes(folder)
    (folder / "pink" / "20dB" / "t2_sad.flac").unlink()
    made, write = [], building.write_flac
    monkeypatch.setattr(building, "write_flac", lambda p, s: (made.append(p), write(p, s)))
    built(small, folder)
    assert hashes(folder) == before
    assert {path.stem for path in made} == {
        "t2_sad"
    }  # all of that utterance, no other and no noise


def test_a_folder_of_another_benchmark_or_of_other_files_is_left_alone(small, tmp_path):
    folder = built(small, tmp_path / "b")
    with pytest.raises(PreparationError, match="other settings"):
        built(small._replace(snrs=(0,)), folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(PreparationError, match="other files"):
        built(small, tmp_path / "mine")


def test_the_same_test_is_called_so(small, tmp_path):
    one, two = built(small, tmp_path / "one"), built(small, tmp_path / "two")
    write_hashes(one, tmp_path / "hashes.csv.xz")
    for expected in (tmp_path / "hashes.csv.xz", one, one / "manifest.csv"):
        assert verify(two, expected, jobs=0)[0] is None


def damage(folder, how):
    path = folder / "pink" / "20dB" / "t1_glad.flac"
    if how == "removed":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        building.write_flac(path, read_flac(path) // 2)
    return "pink/20dB/t1_glad.flac"


@pytest.mark.parametrize("how", ["removed", "cut", "changed"])
def test_a_file_that_is_gone_or_damaged_since_is_named(small, tmp_path, how):
    one, two = built(small, tmp_path / "one"), built(small, tmp_path / "two")
    file = damage(two, how)
    found, why = verify(two, one, jobs=0)
    assert found == file and ("missing" if how == "removed" else "damaged") in why


def test_what_only_one_of_two_holds_is_named(small, corpus, tmp_path):
    published(tmp_path / "hiss" / "a.wav", seed=8)
    more = small._replace(folders={"hiss": {"folder": str(tmp_path / "hiss")}})
    whole_one, other = built(small, tmp_path / "one"), built(more, tmp_path / "more")
    less = built(small._replace(noises=("pink",)), tmp_path / "less")
    assert verify(less, whole_one, jobs=0)[0] is None
    assert alone(less, whole_one) == (["babble"], [], True)
    assert alone(whole_one, other) == (["hiss"], [], False)
    assert alone(other, whole_one) == ([], ["hiss"], False)
    assert alone(whole_one, whole_one) == ([], [], False)


def test_a_whole_benchmark_stays_one_where_a_call_cannot_even_begin(small, tmp_path):
    folder = built(small, tmp_path / "b")
    before = (folder / "manifest.csv").read_bytes()
    with pytest.raises(PreparationError, match="holds no recordings"):
        built(small._replace(folders={"hiss": {"folder": str(tmp_path / "nowhere")}}), folder)
    assert (folder / "manifest.csv").read_bytes() == before


def test_samples_that_were_changed_since_are_not_scored(small, tmp_path):
    folder = built(small, tmp_path / "b")
    file = damage(folder, "changed")
    read = Benchmark(folder)
    item = next(item for item in read.items if item.file == file)
    with pytest.raises(AudioError, match="are not those that were written"):
        read.noisy(item)
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text + text.splitlines()[-1] + "\n")
    with pytest.raises(PreparationError, match="lists a file twice"):
        Benchmark(folder)


def test_another_release_is_named_as_the_input(small, corpus, tmp_path):
    one = built(small, tmp_path / "one")
    published(corpus / "t2" / "t2_glad.wav", seed=99)
    file, why = verify(built(small, tmp_path / "two"), one, jobs=0)
    assert file == "clean/t2_glad.flac"
    assert why.startswith("input: the published file holds other samples, of another release")


@pytest.mark.parametrize("how", ["another", "missing"])
def test_a_voice_of_the_babble_is_named_as_the_input(small, corpus, tmp_path, how):
    one = built(small, tmp_path / "one")
    if how == "another":
        published(corpus / "v2" / "v2_glad.wav", seed=99)
    else:
        (corpus / "v2" / "v2_glad.wav").unlink()
    building._voices.cache_clear()
    file, why = verify(built(small, tmp_path / "two"), one, jobs=0)
    building._voices.cache_clear()
    assert file == "noise/babble/0.flac" and why.startswith("input: it is of all validation")


def test_a_recording_that_one_of_two_lacks_is_named_by_both(small, corpus, tmp_path):
    one = built(small, tmp_path / "one")
    (corpus / "t1" / "t1_sad.wav").unlink()
    two = built(small, tmp_path / "two")
    file, why = verify(two, one, jobs=0)
    assert file == "clean/t1_sad.flac" and why.startswith("input: the other one holds it")
    file, why = verify(one, two, jobs=0)
    assert file == "clean/t1_sad.flac" and why.startswith("input: the other one does not hold it")


def test_a_copy_at_another_rate_is_named_as_the_input(small, corpus, tmp_path):
    one = built(small, tmp_path / "one")
    published(corpus / "t2" / "t2_glad.wav", seed=3, rate=16000)
    file, why = verify(built(small, tmp_path / "two"), one, jobs=0)
    assert file == "clean/t2_glad.flac" and why.startswith("input")


def test_another_conversion_is_named(small, tmp_path, monkeypatch):
    one = built(small, tmp_path / "one")

    def other(path, seconds=None):
        samples, digest = read_published(path, seconds)
        return building_result(samples // 2 * 2, digest)

    building_result = type(read_published(f"{small.data_folder}/t2/t2_sad.wav"))
    monkeypatch.setattr(building, "read_published", other)
    building._voices.cache_clear()
    file, why = verify(built(small, tmp_path / "two"), one, jobs=0)
    building._voices.cache_clear()
    assert file.startswith("clean/") and why.startswith("conversion")


def test_another_mixing_is_named(small, tmp_path, monkeypatch):
    one = built(small, tmp_path / "one")
    monkeypatch.setattr(building, "mixed", lambda speech, noise, snr: speech.astype(int) + noise)
    file, why = verify(built(small, tmp_path / "two"), one, jobs=0)
    assert file.startswith("babble/") and why.startswith("mixing")


def test_other_noise_files_are_named(small, tmp_path):
    folders = {"street": {"folder": str(tmp_path / "street"), "seconds": 1}}
    small = small._replace(folders=folders)
    published(tmp_path / "street" / "a.wav", seed=5, seconds=1.5, rate=44100)
    one = built(small, tmp_path / "one")
    assert len(read_flac(one / "noise" / "street" / "a.flac")) == 16000  # the first second
    published(tmp_path / "street" / "a.wav", seed=6, seconds=1.5, rate=44100)
    building._noise.cache_clear()
    found = verify(built(small, tmp_path / "two"), one, jobs=0)
    building._noise.cache_clear()
    assert found == ("noise/street/a.flac", "input: the noise recording is another one")


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is cut: its header"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: sf.write(path, np.zeros(9000), RATE, "PCM_16"), "silent or empty"),
        (lambda path: sf.write(path, [[0.5, -0.5]] * 9000, RATE, "PCM_16"), "silent as one chan"),
        (lambda path: sf.write(path, np.full(9000, 1e-5), RATE, "PCM_24"), "silent as one chan"),
        (lambda path: sf.write(path, np.zeros(9000), RATE, "FLOAT"), "not samples of whole"),
        (lambda path: sf.write(path, np.ones(9000) / 2, 11025, "PCM_16"), "11025 Hz"),
    ],
)
def test_a_published_file_that_cannot_be_used_is_named(small, corpus, tmp_path, spoil, words):
    path = corpus / "t1" / "t1_glad.wav"
    spoil(path)
    with pytest.raises(AudioError, match=words) as error:
        built(small, tmp_path / "b")
    assert str(path) in str(error.value)


def test_a_corpus_that_is_not_whole_is_named_with_its_numbers(small, corpus):
    (corpus / "t1" / "t1_sad.wav").unlink()
    with pytest.raises(PreparationError, match="3 test utterances of Small.*has 4"):
        utterances(small._replace(utterances=4))
    shutil.copytree(corpus / "t2", corpus / "copy" / "t2")
    with pytest.raises(PreparationError, match="is there twice, .*copy/t2.* and .*: take one out"):
        utterances(small)
    with pytest.raises(PreparationError, match="no folder"):
        utterances(small._replace(data_folder=str(corpus / "nowhere")))


def test_what_was_made_of_a_recording_that_changed_since_is_made_anew(small, corpus, tmp_path):
    folder = built(small, tmp_path / "b")
    before = hashes(folder)
    wave = sf.read(corpus / "t1" / "t1_sad.wav", dtype="int16")[0]
    sf.write(corpus / "t1" / "t1_sad.wav", wave // 2, 48000, "PCM_16")
    built(small, folder)
    changed = {file for file, digest in hashes(folder).items() if digest != before[file]}
    assert changed and all(Path(file).stem == "t1_sad" for file in changed)
    voice = next(path for path in sorted((corpus / "v1").glob("*.wav")))
    wave = sf.read(voice, dtype="int16")[0]
    sf.write(voice, wave // 2, 48000, "PCM_16")
    middle = hashes(folder)
    built(small, folder)
    changed = {file for file, digest in hashes(folder).items() if digest != middle[file]}
    assert {file.split("/")[0] for file in changed} == {"noise", "babble"}


def test_lossy_codecs_stand_beside_the_test(small, tmp_path):
    folder = built(small, tmp_path / "b")
    before, digest = hashes(folder), Benchmark(folder).digest
    items = [*map(str, Benchmark(folder).items)]
    stamps = {file: (folder / file).stat().st_mtime_ns for file in before}
    write_hashes(folder, tmp_path / "hashes.csv.xz")
    build(small, folder, jobs=0, also=("opus", "mp3", "opus"))
    assert {file: (folder / file).stat().st_mtime_ns for file in before} == stamps  # none anew
    after = hashes(folder)
    assert {k: after[k] for k in before} == before and len(after) == len(before) + 4 * 6
    assert Benchmark(folder).digest == digest
    assert [*map(str, Benchmark(folder).items)] == items
    items = [item for item in Benchmark(folder).beside if item.noise_set == "mp3 3"]
    assert len(items) == 4
    for item in items:
        coded, clean = (read_flac(folder / f) for f in (item.file, f"clean/{item.utterance}.flac"))
        assert len(coded) == len(clean) and (coded != clean).any()
    stamp = (folder / items[0].file).stat().st_mtime_ns
    build(small, folder, jobs=0)
    assert (folder / items[0].file).stat().st_mtime_ns == stamp and hashes(folder) == after
    rows = [
        {**row, "sha256": "0" * 64} if row["kind"] == "beside" else row
        for row in read_manifest(folder)
    ]
    write_manifest(tmp_path, rows)  # of a machine with another encoder
    for expected in (tmp_path / "manifest.csv", tmp_path / "hashes.csv.xz"):
        assert verify(folder, expected, jobs=0) == (None, len(before))
    (folder / items[0].file).unlink()
    assert verify(folder, tmp_path / "hashes.csv.xz", jobs=0) == (None, len(before))


@pytest.mark.parametrize("codec, level", [("opus", 0.9), ("mp3", 0.9)])
def test_a_lossy_codec_keeps_speech_in_time(codec, level):
    generator = np.random.default_rng(0)
    slow = np.convolve(generator.normal(size=40000), np.hanning(24), "same")
    wave = (6000 * slow / np.abs(slow).max()).astype(np.int16)
    for severity in (1, 2, 3):
        coded = compressed(wave, codec, severity)
        lags = np.correlate(coded[2000:22000].astype(float), wave[4000:20000].astype(float))
        assert abs(lags.argmax() - 2000) <= 1


def test_a_codec_that_is_none_is_named(small, tmp_path):
    with pytest.raises(SettingsError, match="opus and mp3, and not aac"):
        build(small, tmp_path / "b", also=("aac",))


def test_speakers_who_are_neither_tested_nor_validated_on_are_for_training(small):
    found = utterances(small._replace(test=("t1",)), ("train", "valid"))
    assert {row.speaker for row in found["train"]} == {"t2"} and len(found["train"]) == 2
    assert {row.speaker for row in found["valid"]} == {"v1", "v2"}
    with pytest.raises(PreparationError, match="holds no train utterance of Small"):
        utterances(small, ("train",))
