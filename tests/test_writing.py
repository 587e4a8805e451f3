"""Files are there whole or not at all."""

import errno

import pytest

from speechbrain_merit import writing
from speechbrain_merit.writing import whole, write_bytes, write_text


def test_an_interrupt_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_text(path, "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "replace", interrupted)
    for write, new in ((write_text, "new"), (write_bytes, b"new")):
        with pytest.raises(KeyboardInterrupt):
            write(path, new)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_a_block_that_fails_half_way_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="disk full"), whole(tmp_path / "x" / "a.txt") as partial:
        partial.write_text("half")
        raise OSError("disk full")
    assert list((tmp_path / "x").iterdir()) == []


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(OSError) as raised, whole(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.errno == errno.ENOSPC and str(path) in str(raised.value)


def test_a_name_of_the_longest_length_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")  # 255 bytes
    write_text(path, "whole")
    assert path.read_text() == "whole"


def test_lines_end_alike_everywhere_and_what_is_no_utf8_can_be_escaped(tmp_path):
    write_text(tmp_path / "a", "one\ntwo\n")
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\n"
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "b", "\udcff")
    write_text(tmp_path / "b", "\udcff", errors="backslashreplace")
    assert (tmp_path / "b").read_text() == "\\udcff"
