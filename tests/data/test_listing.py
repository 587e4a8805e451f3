"""Tables of labels as programs write them: read right, or refused with a word that helps."""

import codecs
import csv
import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_merit.data.code_pages import decode
from speechbrain_merit.data.listing import read_rating, read_table, scale_attribute
from speechbrain_merit.data.ratings import PublishedRatings
from speechbrain_merit.errors import PreparationError

ENGLISH = [["file", "emotion", "speaker"], ["a/1.wav", "sad", "anne"], ["a/2.wav", "angry", "bo"]]


def table(path, rows, encoding="utf-8", delimiter=",", end="\n", before=b""):
    lines = io.StringIO(newline="")
    csv.writer(lines, delimiter=delimiter, lineterminator=end).writerows(rows)
    path.write_bytes(before + lines.getvalue().encode(encoding))
    return path


def cells(rows):
    return [[value for key, value in row.items() if key != "line"] for row in rows]


# ---- Encodings


@pytest.mark.parametrize(
    "encoding, before",
    [
        ("utf-8", b""),
        ("utf-8-sig", b""),
        ("utf-16", b""),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-32", b""),
    ],
)
@pytest.mark.parametrize("name", ["Анна", "花子", "Łódź", "zoë 😀", "anne"])
def test_unicode_is_read_whatever_its_form(tmp_path, caplog, encoding, before, name):
    rows = [ENGLISH[0], [f"{name}/1.wav", "sad", name]]
    path = table(tmp_path / "t.csv", rows, encoding, before=before)
    assert cells(read_table(path, ["file"])) == rows[1:]
    assert caplog.text == ""


WESTERN = (
    "jörg anne-cécile søren øyvind frühling éléonore naïve müller françois señor años João ÄRGER "
    "coração L’été créée Ángel Åse groß m² Schröder…"
).split()


@pytest.mark.parametrize("name", WESTERN)
def test_windows_1252_is_read_and_said(tmp_path, caplog, name):
    path = table(tmp_path / "t.csv", [*ENGLISH, [f"{name}/3.wav", "sad", name]], "cp1252")
    assert cells(read_table(path, ["file"]))[-1] == [f"{name}/3.wav", "sad", name]
    assert "not UTF-8 and was read as Windows-1252" in caplog.text and name in caplog.text


@pytest.mark.parametrize(
    "encoding, name",
    [
        ("cp1251", "Анна"),
        ("cp1251", "да"),
        ("koi8-r", "Борис"),
        ("cp866", "грустный"),
        ("cp1250", "Łódź"),
        ("cp1250", "żółty"),
        ("cp1253", "χαρά"),
        ("cp1255", "שמח"),
        ("cp1256", "حزن"),
        ("cp932", "花子は怒り"),
        ("gb18030", "小明生气"),
        ("cp949", "철수 분노"),
        ("cp850", "müller"),
        ("mac-roman", "müller"),
    ],
)
def test_another_code_page_is_refused_and_not_read_as_something_else(tmp_path, encoding, name):
    path = table(tmp_path / "t.csv", [*ENGLISH, ["b/3.wav", "sad", name]], encoding)
    with pytest.raises(PreparationError, match="t.csv, line 4 is not UTF-8, and .*save it as UTF"):
        read_table(path, ["file"])


def test_a_line_in_another_encoding_than_the_rest_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("file\nzoë.wav\nanne.wav\n".encode() + "jörg.wav\n".encode("cp1252"))
    with pytest.raises(PreparationError, match="line 2 is not UTF-8, and 'zoÃ«.wav' is no word"):
        read_table(path, ["file"])


def test_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(PreparationError, match="labels.csv is a workbook.*CSV UTF-8"):
        read_table(path, ["file"])
    for damaged in ("file\na.wav\n".encode("utf-16")[:-1], b"file\na\0b.wav\n", b"\0\0\xff" * 9):
        path.write_bytes(damaged)
        with pytest.raises(PreparationError, match="labels.csv is damaged.*Copy it again"):
            read_table(path, ["file"])


def test_plain_letters_of_any_file_are_decoded():
    assert decode("naïve".encode("cp1252")) == "naïve"
    assert "Ses01" in decode(b"Ses01\x81\x8d\xff")


# ---- Fields and columns

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cc"]), max_size=8)


@given(
    rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=5),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    announced=st.booleans(),
)
def test_any_cells_are_read_back(tmp_path_factory, rows, encoding, delimiter, end, announced):
    first = f"sep={delimiter}{end}" if announced else ""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["one", "two", "three"], *rows])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes((first + lines.getvalue()).encode(encoding))
    stripped = [[cell.strip() for cell in row] for row in rows]
    assert cells(read_table(path, ["one"])) == [row for row in stripped if any(row)]


@pytest.mark.parametrize("first", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "sep=; \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_first_line_for_excel_is_no_line_of_the_table(tmp_path, first, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(f"{first}file;note, or not\na.wav;x\n\nb.wav\n".encode(encoding))
    with pytest.raises(PreparationError, match="t.csv, line 5: 1 fields, but 2 columns"):
        read_table(path, ["file"])
    path.write_bytes(f"{first}file;note, or not\na.wav;x\n".encode(encoding))
    assert read_table(path, ["file"]) == [{"line": 3, "file": "a.wav", "note, or not": "x"}]


def test_columns_are_found_in_capital_letters_too(tmp_path):
    rows = [["File", "EMOTION ", "Speaker", "SPLIT"], ["a.wav", "sad", "x", "test"]]
    path = table(tmp_path / "t.csv", rows)
    (row,) = read_table(path, ["file", "emotion", "speaker"], ["split", "arousal"])
    assert row == {"line": 2, "file": "a.wav", "emotion": "sad", "speaker": "x", "split": "test"}
    both = table(tmp_path / "both.csv", [["File", "file"], ["A", "a"]])
    assert read_table(both, ["file"])[0]["file"] == "a"  # spelled as asked for
    twice = table(tmp_path / "twice.csv", [["File", "FILE"], ["A", "a"]])
    with pytest.raises(PreparationError, match="2 columns file: keep one"):
        read_table(twice, ["file"])
    with pytest.raises(PreparationError, match="2 columns split"):
        read_table(table(tmp_path / "s.csv", [["file", "split", "split"]]), ["file"], ["split"])


def test_empty_cells_behind_a_row_are_nothing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("file,note\na.wav,x,,\nb.wav,,,\n")
    assert cells(read_table(path, ["file"])) == [["a.wav", "x"], ["b.wav", ""]]
    path.write_text("file,note\na.wav,x,,y\n")
    with pytest.raises(PreparationError, match="line 2: 4 fields, but 2 columns"):
        read_table(path, ["file"])


def test_optional_cells_at_a_rows_end_may_be_left_out(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,line,arousal,valence\na.wav,hello,1,2\nb.wav,hi\n")
    first, second = read_table(path, ["file"], ["arousal", "valence"])
    assert (first["line"], first["arousal"]) == (2, "1")  # a column called line is none of ours
    assert (second["line"], second["arousal"], second["valence"]) == (3, "", "")
    path.write_text("file,emotion,arousal\na.wav\n")
    with pytest.raises(PreparationError, match="line 2: 1 fields, but 3 columns"):
        read_table(path, ["file", "emotion"], ["arousal"])


def test_a_quote_behind_a_blank_is_a_quote(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('file, note\na.wav, "one, two"\n')
    assert read_table(path, ["file"])[0]["note"] == "one, two"


# ---- Ratings


@pytest.mark.parametrize("text", ["", " ", "nan", "NaN", "-nan", "NA", "n/a", "None", "null", "-"])
def test_nothing_is_no_rating(text):
    assert read_rating(text, "here") is None
    assert scale_attribute(text, 0, 1, "here") is None


def test_a_rating_is_scaled_or_named():
    assert [scale_attribute(t, 1, 5, "") for t in ("1", "3,0", "5.0")] == [0.0, 0.5, 1.0]
    for text in ("inf", "5.01", "0.99", "-1"):
        with pytest.raises(PreparationError, match="line 3: arousal is .*, not between 1 and 5"):
            scale_attribute(text, 1, 5, "line 3: arousal")
    with pytest.raises(PreparationError, match="line 3: arousal is 'high', not a number"):
        scale_attribute("high", 1, 5, "line 3: arousal")


def test_published_ratings_outside_the_scale_are_none_and_counted(caplog):
    scaled = PublishedRatings("MY", 1, 5)
    given = [scaled(text, f"line {n}") for n, text in enumerate(["0.5", "5.5", "", "nan", "3"])]
    assert given == [None, None, None, None, 0.5]
    with caplog.at_level(logging.WARNING):
        scaled.report()
    assert "MY: 2 of 3 ratings lie outside 1 … 5 and count as not given" in caplog.text
    assert "0.5 (line 0)" in caplog.text


def test_ratings_on_another_scale_are_no_slips():
    scaled = PublishedRatings("MY", 1, 5)
    for n in range(300):
        scaled("60" if n % 10 == 0 else "4", f"line {n}")
    with pytest.raises(PreparationError, match="30 of 300 ratings lie outside 1 … 5"):
        scaled.report()
