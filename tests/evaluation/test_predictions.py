"""predictions.jsonl: kept over interrupts, merged from parts, and refused where it is broken."""

import gzip
import json
import lzma
import shutil

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from speechbrain_merit.errors import MeritError, PredictionsError
from speechbrain_merit.evaluation.predictions import (
    append,
    begin,
    find_predictions,
    merge_predictions,
    read_predictions,
    resume,
    write_predictions,
)
from speechbrain_merit.evaluation.run import whole_batches
from tests.evaluation.fake_predictions import a_header, some_rows

N = 5  # utterances; 15 rows
BATCHES = whole_batches(15, 4)


@pytest.fixture
def file(tmp_path):
    """A whole file of predictions."""
    return write_predictions(tmp_path / "predictions.jsonl", a_header(N), some_rows(N))


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def changed(path, number, **changes):
    """Changes keys of the object in a line, from 1; keys that become ... are left out."""
    lines = lines_of(path)
    value = {**json.loads(lines[number - 1]), **changes}
    value = {key: item for key, item in value.items() if item is not ...}
    lines[number - 1] = json.dumps(value).encode() + b"\n"
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_what_was_written_is_read_compressed_or_not(tmp_path, ending):
    path = write_predictions(tmp_path / f"predictions.jsonl{ending}", a_header(N), some_rows(N))
    header, rows = read_predictions(path)
    assert header == a_header(N) and list(rows) == some_rows(N)
    assert find_predictions(tmp_path) == path
    plain = {"": open, ".gz": gzip.open, ".xz": lzma.open}[ending](path, "rb").read()
    assert plain.isascii() and plain.count(b"\n") == 1 + 15


def test_an_interrupted_writer_leaves_the_old_file(file):
    before = file.read_bytes()

    def interrupted():
        yield some_rows(N)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(file, a_header(N), interrupted())
    assert file.read_bytes() == before and [p.name for p in file.parent.iterdir()] == [file.name]


def nothing(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def without_the_end(path):
    path.write_bytes(b"".join(lines_of(path)[:-3]))


def without_a_line(path):
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:6] + lines[7:]))


def with_a_line_twice(path):
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:7] + lines[6:]))


def in_another_order(path):
    lines = lines_of(path)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))


def with_a_cut_line(path):
    path.write_bytes(path.read_bytes()[:-10])


def one_file_behind_the_other(path):
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize(
    "harm, message",
    [
        (nothing, "cannot be read.*No such file"),
        (empty, "is empty: score the run"),
        (without_the_end, r"half-written: 12 of 15 rows.*Continue with: python evaluate.py RUN"),
        (without_a_line, r"line 7: index 6 follows 4: a row is missing"),
        (with_a_line_twice, r"line 8: utt0\|street\|-5 \(index 5\) is there twice"),
        (in_another_order, r"line 2: index 1 follows -1"),
        (with_a_cut_line, r"line 16: is no whole line of JSON.*cut: python evaluate.py RUN"),
        (one_file_behind_the_other, "line 17: lacks index, id"),
        (lambda path: path.write_bytes(b"hello\n"), "has no header"),
        (lambda path: path.write_bytes(b"\xff\xfe{}\n"), "has no header"),
        (lambda path: changed(path, 1, format=2), "format 2 and this version reads 1"),
        (lambda path: changed(path, 1, labels=["a", "a"]), "labels are not names, each once"),
        (lambda path: changed(path, 1, rows="15"), "without a fit rows"),
        (lambda path: changed(path, 1, summary=...), "without a fit summary"),
        (lambda path: changed(path, 3, id=...), "line 3: lacks id"),
        (lambda path: changed(path, 3, id="other"), "ids are not those of the test set"),
        (lambda path: changed(path, 3, index=15), "index is not a number from 0 to 14"),
        (lambda path: changed(path, 3, label="bored"), "label bored is none of"),
        (lambda path: changed(path, 3, snr_db=5), "snr_db is there without a noise_set"),
        (lambda path: changed(path, 3, measured_snr_db="0"), "measured_snr_db is no finite"),
        (lambda path: changed(path, 3, probabilities=[0.5, 0.5]), "probabilities are not the"),
        (lambda path: changed(path, 3, probabilities=[0.5, 0.6, 0]), "do not sum to 1"),
        (lambda path: changed(path, 3, probabilities=None), "probabilities are not the"),
        (lambda path: changed(path, 3, probabilities=[float("nan"), 1, 0]), "line 3: holds NaN"),
        (lambda path: changed(path, 3, scores={}), "scores are not the"),
        (lambda path: changed(path, 3, attributes={"truth": [0.5]}), "attributes are not the"),
        (lambda path: changed(path, 3, experts={"se": [1, 0, 0]}), "experts are not the"),
        (lambda path: changed(path, 3, frames=-1), "frames is no number of frames"),
    ],
)
def test_what_is_broken_is_named_with_its_place(file, harm, message):
    harm(file)
    with pytest.raises(PredictionsError, match=message) as error:
        list(read_predictions(file)[1])
    assert str(file) in str(error.value) and isinstance(error.value, MeritError)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + 400 * "0", "Infinity"])
def test_numbers_beyond_all_measure_are_refused(file, number):
    text = file.read_text().replace('"measured_snr_db":-5', f'"measured_snr_db":{number}', 1)
    file.write_text(text)
    with pytest.raises(PredictionsError, match="line 7"):
        list(read_predictions(file)[1])


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize("harm", [lambda data: data[:-20], lambda data: b"no archive" + data])
def test_a_broken_archive_is_named(tmp_path, ending, harm):
    path = write_predictions(tmp_path / f"predictions.jsonl{ending}", a_header(N), some_rows(N))
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(PredictionsError, match=f"predictions.jsonl{ending}"):
        list(read_predictions(path)[1])


def test_a_folder_without_predictions_says_how_to_make_them(tmp_path):
    with pytest.raises(PredictionsError, match="holds no predictions.jsonl: score the run first"):
        find_predictions(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.integers(0, 20_000), bytes_=st.binary(min_size=0, max_size=12), cut=st.integers(0, 9)
)
@example(place=5, bytes_=b"[" * 100_000, cut=0)
def test_any_change_gives_rows_or_an_error_of_ours(file, place, bytes_, cut):
    data = b"".join(json.dumps(value).encode() + b"\n" for value in (a_header(N), *some_rows(N)))
    file.write_bytes(data[:place] + bytes_ + data[place + cut :])
    try:
        header, rows = read_predictions(file)
        assert len(list(rows)) == header["rows"]
    except PredictionsError:
        pass


def parts_of(folder, header=None, world=2, batches=BATCHES):
    """The files that several processes leave, each with whole batches of its own."""
    rows, paths = some_rows(N), []
    for rank in range(world):
        own = [rows[index] for batch in batches[rank::world] for index in batch]
        path = folder / f"predictions.{rank}.jsonl"
        paths.append(write_predictions(path, header or a_header(N), own))
    return paths


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_parts_make_the_whole_in_the_order_of_the_test_set(tmp_path, world):
    paths = parts_of(tmp_path, world=world)
    header, rows = merge_predictions(reversed(paths))
    assert header == a_header(N) and list(rows) == some_rows(N)
    whole = write_predictions(tmp_path / "predictions.jsonl", *merge_predictions(paths))
    assert list(read_predictions(whole)[1]) == some_rows(N)


def test_parts_that_make_no_whole_are_refused(tmp_path):
    first, second = parts_of(tmp_path)
    with pytest.raises(
        PredictionsError, match=r"half-written: 0 of 15|follows 3: a row is missing"
    ):
        list(merge_predictions([first])[1])
    with pytest.raises(PredictionsError, match="is there twice"):
        list(merge_predictions([first, second, shutil.copy(first, tmp_path / "c.jsonl")])[1])
    changed(second, 1, model="another")
    with pytest.raises(PredictionsError, match="no parts of one evaluation.*differ in model"):
        merge_predictions([first, second])


def interrupted(file, keep):
    """Cuts a file as a kill does: after so many bytes of its rows."""
    data = file.read_bytes()
    start = data.index(b"\n") + 1
    file.write_bytes(data[: start + int(keep * (len(data) - start))])


@pytest.mark.parametrize("keep", [0, 0.05, 0.31, 0.4, 0.62, 0.8, 0.99])
def test_an_interrupted_file_keeps_whole_batches_and_ends_the_same(file, keep):
    whole = file.read_bytes()
    interrupted(file, keep)
    complete = file.read_bytes().count(b"\n") - 1
    done = resume(file, a_header(N), BATCHES)
    assert done == complete // 4
    assert file.read_bytes().count(b"\n") == 1 + 4 * done  # no half batch, no half line
    append(file, a_header(N), some_rows(N)[4 * done :])
    assert file.read_bytes() == whole


def test_a_complete_file_needs_no_batch(file):
    whole = file.read_bytes()
    assert resume(file, a_header(N), BATCHES) == len(BATCHES)
    assert file.read_bytes() == whole


def test_a_part_is_continued_by_its_own_batches(tmp_path):
    path = parts_of(tmp_path)[1]
    whole, own = path.read_bytes(), BATCHES[1::2]
    path.write_bytes(whole[:-30])
    assert resume(path, a_header(N), own) == 1
    append(path, a_header(N), [some_rows(N)[index] for index in own[1]])
    assert path.read_bytes() == whole
    assert resume(path, a_header(N), BATCHES[::2]) == 0  # rows of another process


@pytest.mark.parametrize("junk", [b"\0" * 300, b'{"index": 8}\n', b"\xff\n", b"}\n{\n"])
def test_what_a_crash_of_the_machine_left_at_the_end_is_dropped(file, junk):
    whole = file.read_bytes()
    file.write_bytes(b"".join(lines_of(file)[:9]) + junk)  # 8 rows are whole
    assert resume(file, a_header(N), BATCHES) == 2
    append(file, a_header(N), some_rows(N)[8:])
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "CKPT+2"},
        {"model": "other weights"},
        {"ids": "another test set"},
        {"sources": "another folder of noise"},
        {"settings": {**a_header(N)["settings"], "test_seed": 1}},
        {"labels": ["sad", "angry", "happy"]},
        {"summary": {**a_header(N)["summary"], "seed": 7}},
        {"format": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_checkpoint_or_setting_starts_anew(file, change):
    write_predictions(file, a_header(N, **change), some_rows(N)[:8])
    assert resume(file, a_header(N), BATCHES) == 0
    assert lines_of(file) == [json.dumps(a_header(N), separators=(",", ":")).encode() + b"\n"]


def test_another_command_goes_on(file):
    interrupted(file, 0.6)
    first = lines_of(file)[0]
    summary = {**a_header(N)["summary"], "command": "python evaluate.py RUN"}
    assert resume(file, a_header(N, summary=summary), BATCHES) > 0
    assert lines_of(file)[0] == first


@pytest.mark.parametrize("text", [None, b"", b'{"format": 1', b"hello\n"])
def test_no_file_and_a_broken_header_start_anew(tmp_path, text):
    path = tmp_path / "evaluation" / "predictions.jsonl"
    if text is not None:
        path.parent.mkdir()
        path.write_bytes(text)
    assert resume(path, a_header(N), BATCHES) == 0
    append(path, a_header(N), some_rows(N))
    assert list(read_predictions(path)[1]) == some_rows(N)


def test_a_row_with_nan_is_not_written(tmp_path):
    path = tmp_path / "predictions.jsonl"
    begin(path, a_header(N))
    good, bad = some_rows(N)[:2]
    bad["probabilities"][0] = float("nan")
    with pytest.raises(
        PredictionsError, match=r"utt1\|None\|None: probabilities are not.*diverged"
    ):
        append(path, a_header(N), iter([good, bad]))
    assert len(lines_of(path)) == 2
