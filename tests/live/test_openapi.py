"""The service against its own description, by schemathesis, which makes up requests of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.service import running, small_model

for name in ("fastapi", "uvicorn", "python_multipart", "schemathesis"):
    pytest.importorskip(name, reason="schemathesis or the extra serve is not installed")


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_every_answer_is_one_that_the_description_names(tmp_path, count):
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    # what a description takes for valid, random bytes, need not be a recording
    options = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    options += ["--max-examples", str(count), "--seed", "1", "--generation-database", "none"]
    model = small_model(tmp_path / "model")
    with running("serve", tmp_path, "--model", str(model)) as (url, _):
        done = subprocess.run(
            [command, "run", f"{url}/openapi.json", *options, "--no-color"],
            cwd=tmp_path,  # where it leaves what it found
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout
    assert "3 selected / 3 total" in done.stdout
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text(encoding="utf-8")
