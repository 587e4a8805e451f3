"""How a command ends: in a line where its user can mend it, in a traceback where it is a fault."""

import errno
import os

import pytest

from speechbrain_merit.errors import REFUSED, MeritError, ends_in_a_line


def test_a_full_disk_is_told_in_a_line_that_names_the_file(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, ends_in_a_line("train.py"):
        with open("/dev/full", "w") as file:
            file.write("x")
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train.py: cannot write: [Errno 28]") and "Make room" in line


@pytest.mark.parametrize("number", sorted(REFUSED))
def test_what_the_machine_refuses_is_told(number, capsys):
    with pytest.raises(SystemExit), ends_in_a_line("train.py"):
        raise OSError(number, os.strerror(number), "save/log.txt")
    assert "save/log.txt" in capsys.readouterr().err


@pytest.mark.parametrize("fault", [OSError(errno.EBADF, "fault"), OSError("x"), KeyError("fault")])
def test_a_fault_of_the_program_keeps_its_traceback(fault):
    with pytest.raises(type(fault)) as raised, ends_in_a_line("train.py"):
        raise fault
    assert raised.value is fault


def test_an_error_of_the_package_ends_with_its_own_code(capsys):
    class Special(MeritError):
        exit_code = 7

    with pytest.raises(SystemExit) as stop, ends_in_a_line("train.py"):
        raise Special("what to do")
    assert stop.value.code == 7 and capsys.readouterr().err == "train.py: what to do\n"
