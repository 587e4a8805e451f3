"""Names of files: which two are the same, and which are too long."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbrain_merit.audio.names import LONGEST, readable, shortened


@given(st.binary(min_size=1, max_size=255).filter(lambda raw: not {0, 47} & set(raw)))
def test_any_name_has_a_readable_form_that_can_be_printed(raw):
    text = readable(os.fsdecode(raw))
    assert readable(text) == text and text.encode()


@pytest.mark.parametrize("letters", ["x", "é", "日", "🙂", "e\u0301"])
def test_a_long_name_leaves_room_and_stays_whole_text(letters):
    for length in range(200, 300):
        name = (letters * length)[:length]
        short = shortened(name, 13)
        assert len(os.fsencode(short)) + 13 <= LONGEST
        assert short.encode().decode() == short  # no character is cut in two
        assert (short == name) == (len(os.fsencode(name)) + 13 <= LONGEST)


def test_long_names_that_begin_alike_are_told_apart():
    assert shortened("x" * 250 + "a", 13) != shortened("x" * 250 + "b", 13)
