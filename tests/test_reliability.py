"""docs/reliability.md names tests that are there."""

import re


def test_every_promise_names_a_test_that_is_there(repo_root):
    page = (repo_root / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", page)
    assert len(named) > 25
    for path, test in named:
        assert (repo_root / path).exists(), path
        if test:
            text = (repo_root / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", text, re.MULTILINE), (path, test)
