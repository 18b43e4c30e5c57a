"""Keys: they change with what a result depends on, and with nothing else."""

import pytest
from pydantic import ValidationError

from nlcore.runs.fingerprint import code_fingerprint
from tests.runs.trivial import Square, Total


def test_equal_specs_have_equal_keys_and_every_field_counts():
    assert Square(number=2).key == Square(number=2).key
    assert len({Square(number=2).key, Square(number=3).key, Square(number=2, pause=0.1).key, Total(number=2).key}) == 4


def test_specs_are_frozen_and_typed():
    with pytest.raises(ValidationError):
        Square(number=2).number = 3
    with pytest.raises(ValidationError):
        Square(number="many")
    with pytest.raises(ValidationError):
        Square(number=2, colour="red")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module and gives its fingerprint as if read for the first time."""
    monkeypatch.syspath_prepend(tmp_path)

    def fingerprint(source):
        (tmp_path / "computing.py").write_text(source)
        code_fingerprint.cache_clear()
        return code_fingerprint("computing")

    yield fingerprint
    code_fingerprint.cache_clear()


def test_a_fingerprint_sees_code_and_not_comments_or_docstrings(module):
    plain = module("def double(x):\n    return 2 * x\n")
    assert module('"""New."""\ndef double(x):\n    """Twice."""\n    # why\n    return 2 * x\n') == plain
    assert module("def double(x):\n    return 3 * x\n") != plain


def test_a_fingerprint_follows_imports_and_leaves_out_what_only_carries_runs(module):
    nothing = module("x = 1\n")
    carried = module("x = 1\nfrom nlcore.runs import Spec\n")
    computed = module("x = 1\nfrom nlcore import losses\n")
    assert len({nothing, carried, computed}) == 3
    import ast

    from nlcore.runs import fingerprint

    tree = ast.parse("from nlcore.runs import Spec\nfrom nlcore import losses")
    counted = {name for name in fingerprint._imports(tree, "m") if fingerprint._counts(name)}
    assert "nlcore.papers.cleanlab_ema.classifiers" in counted
    assert not any(name.startswith("nlcore.runs") for name in counted)
