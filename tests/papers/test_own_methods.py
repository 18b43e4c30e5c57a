"""Methods of one's own: every role on the smallest profile, keys, and what is told where a function does not fit."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from nlcore.errors import InputError
from nlcore.papers import paper
from nlcore.papers.own import OwnRun, find_method
from nlcore.papers.paper import Asked
from nlcore.papers.profiles import Resources
from nlcore.report.claims import verdict_table
from nlcore.report.evidence import Evidence
from nlcore.report.own import own_method_table
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import run_grid

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "add_a_method.md"
BLOCK = re.compile(r"^```python file=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    python run_all\.py --papers (\w+) --method (\S+)$", re.MULTILINE)

# Paper -> a function that does what one of the paper's methods does, that method, and the artefacts that list methods.
TWINS = {
    "multi_al": (
        "from nlcore.papers.multi_al.strategies import by_entropy as choose\n\n\n"
        'def twin(view, number):\n    """A twin."""\n    return choose(view, number)\n',
        "multi_al",
        {"gains": "gains_table", "selection": "selection_table", "fig_8": ("level_figure", 0.4)},
    ),
    "missing_label_al": (
        "from nlcore.scorers.uncertainty import prediction_entropy\n\n\n"
        'def twin(view):\n    """A twin."""\n    return prediction_entropy(view.probabilities)\n',
        "entropy",
        {"heuristics": "heuristics_table", "costs": "cost_table", "chosen": "chosen_table",
         "fig_4": ("level_figure", 0.4), "fig_6": "figure_6"},
    ),
    "cleanlab_ema": (
        'def twin(scores):\n    """A twin."""\n    return scores.min(axis=1)\n',
        "min",
        {"lift": "lift_table", "injected_by_kind": "injected_by_kind", "fig_2": ("pooling_figure", "fig_2", "ap_at_t")},
    ),
    "galc_slr": (
        "from nlcore.losses import asymmetric_loss\n\n\n"
        'def twin(logits, targets):\n    """A twin."""\n    return asymmetric_loss(logits, targets)\n',
        "asl",
        {"table_1": "table_1", "slopes": "slope_table", "memorisation": "memorisation_table", "fig_5": "figure_5",
         "fig_6": "figure_6", "why_clean_gold": "clean_gold_figure", "why_readings": "readings_table"},
    ),
    "teacher_student": (
        'def twin(features, noisy, clean):\n    """A twin."""\n    return noisy\n',
        "finetune_mixed",
        {"table_2": "table_2", "fig_5": "figure_5"},
    ),
}  # fmt: skip


def written(folder, text, name="own.py"):
    (folder / name).write_text(text)
    return f"{folder / name}:twin"


def grid(id, *methods):
    return paper(id).grid("smoke", resources=Resources(methods=methods)).main


@pytest.mark.slow
@pytest.mark.parametrize("id", TWINS)
def test_a_twin_of_a_papers_method_stands_beside_it_with_the_same_numbers(id, tmp_path, smoke_store):
    text, same, artefacts = TWINS[id]
    one, reference, store = paper(id), written(tmp_path, text), smoke_store
    specs = grid(id, reference)
    if id == "galc_slr":  # a hundred of its runs stand behind none of these artefacts
        specs = [spec for spec in specs if any(one.reads(artefact)(spec) for artefact in ("table_1", "fig_6"))]
    run_grid(specs, store, workers=0)
    load, claims = one.module("study").load_study, one.module("claims")
    protocols = [spec.protocol for spec in specs if isinstance(spec, OwnRun) and hasattr(spec, "protocol")]
    assert not any(getattr(protocol, "reading", "") for protocol in protocols), "one's own runs as the profile does"
    study, plain = load(specs, store), load([spec for spec in specs if not isinstance(spec, OwnRun)], store)
    assert verdict_table(claims.decide_claims(study)).equals(verdict_table(claims.decide_claims(plain)))
    _make_and_look(one, study, artefacts, ArtefactWriter(id, "smoke", tmp_path / "made", {}))
    table = own_method_table(one.own.compared(study), {"twin": "A twin"}, one.own.BESIDE, Evidence.STAND_IN)
    assert set(table.minus) == set(one.own.BESIDE.values()) and set(table.method) == {"A twin"}
    differences = table[table.minus == one.own.BESIDE[same]]["difference [95 % interval]"]
    means = [float(text.split()[0]) for text in differences]
    assert len(means) >= 3 and (max(map(abs, means)) < 0.2 if id == "galc_slr" else set(means) == {0.0})
    assert not (table.pairs < 2).any() and "contradicted" not in set(table["is ahead"])


def _make_and_look(one, study, artefacts, out):
    """Makes the artefacts, each of which must say "A twin", or its name where it names series or columns by names."""
    for id, maker in artefacts.items():
        maker, *more = (maker,) if isinstance(maker, str) else maker
        module = one.module("figures" if id.startswith("fig") or "figure" in maker else "tables")
        getattr(module, maker)(study, out, *more)
        files = [name for name in out.entries[id]["files"] if name.endswith(".csv")]
        assert any(re.search(r"A twin|\btwin\b", (out.folder / name).read_text()) for name in files), id


@pytest.mark.parametrize("id", TWINS)
def test_runs_of_ones_own_decide_no_claim_of_the_papers(id, tmp_path):
    """So they are planned, and a budget is spent, beside them."""
    with_it, without = (grid(id, *methods) for methods in ([written(tmp_path, TWINS[id][0])], []))
    own = {spec for spec in with_it if isinstance(spec, OwnRun)}
    stakes = {stake.claim: stake for stake in paper(id).stakes(with_it)}
    assert own and all(not stake.runs & own for stake in stakes.values())
    assert {id: stake.runs for id, stake in stakes.items()} == {
        stake.claim: stake.runs for stake in paper(id).stakes(without)
    }


def test_the_keys_of_the_papers_own_runs_are_as_without_it(tmp_path):
    for id, (text, *_) in TWINS.items():
        plain, beside = grid(id), grid(id, written(tmp_path, text, f"{id}.py"))
        assert [spec.key for spec in beside[: len(plain)]] == [spec.key for spec in plain]
        assert len(beside) > len(plain)
        assert not {spec.key for spec in beside[len(plain) :]} & {spec.key for spec in plain}


def test_an_edit_makes_another_run_and_a_file_that_moves_does_not(tmp_path):
    own = lambda reference: [spec.key for spec in grid("cleanlab_ema", reference)[len(grid("cleanlab_ema")) :]]
    text = TWINS["cleanlab_ema"][0]
    first = own(written(tmp_path, text))
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "own.py", tmp_path / "elsewhere" / "other_name.py")
    assert own(f"{tmp_path / 'elsewhere' / 'other_name.py'}:twin") == first
    edited = own(written(tmp_path, text.replace("min", "max")))
    assert len(edited) == len(first) and not set(edited) & set(first)
    assert find_method(f"{tmp_path / 'own.py'}:twin").load()(pd.DataFrame([[1.0, 2.0]]).to_numpy()) == 2


def test_a_module_of_an_installed_package_will_do():
    found = find_method("nlcore.scorers.label_quality:minimum")
    assert found.label == "s^* = min_k s^k: the most suspect class alone (Eq. 2)"
    assert len(grid("cleanlab_ema", "nlcore.scorers.label_quality:minimum")) == len(grid("cleanlab_ema")) + 3


BAD = [
    ("cleanlab_ema", "pooled", None, "method 'pooled': names no function; expected module:function or"),
    ("cleanlab_ema", "nowhere.py:pooled", None, "method 'nowhere.py:pooled': no such file; expected"),
    ("cleanlab_ema", "no_such_module:pooled", None, "method 'no_such_module:pooled': no such module in Python"),
    ("cleanlab_ema", "math:sqrt", None, "method 'math:sqrt': no such module in Python; expected"),
    ("cleanlab_ema", "own.py:other", "def pooled(scores): ...\n", "method other: no such name in "),
    ("cleanlab_ema", "own.py:pooled", "pooled = 3\n", "method pooled: found a int; expected a function"),
    ("cleanlab_ema", "own.py:pooled", "import nothing_of_that_name\n", "raised ModuleNotFoundError in line 1: No "),
    ("cleanlab_ema", "own.py:pooled", "def pooled(a, b):\n    return a\n",
     "method pooled: takes (a, b); expected (scores), as a pooling does"),
    ("cleanlab_ema", "own.py:pooled", "def pooled(scores):\n    return 1 / 0\n",
     "method pooled: raised ZeroDivisionError in line 2: division by zero; expected a finite score for each image"),
    ("cleanlab_ema", "own.py:pooled", "def pooled(scores):\n    return scores\n",
     "method pooled: gave ndarray of shape (6, 4) and type float64; expected a finite score for each image"),
    ("cleanlab_ema", "own.py:pooled", "def pooled(scores):\n    return ['good'] * len(scores)\n",
     "method pooled: gave list; expected a finite score for each image"),
    ("cleanlab_ema", "own.py:min", "def min(scores):\n    return scores.min(axis=1)\n",
     "another one is called 'min'; expected a name of its own"),
    ("multi_al", "own.py:first", "def first(view, number):\n    return [0] * number\n",
     "method first: gave list; expected `number` places in view.rows, whole numbers, each once"),
    ("multi_al", "own.py:first", "def first(view, number):\n    return view.rows[:number] + len(view.rows)\n",
     "method first: gave ndarray of shape (4,) and type int64; expected `number` places"),
    ("missing_label_al", "own.py:many", "def many(view):\n    return view.labels\n",
     "method many: gave ndarray of shape (12, 3) and type int8; expected a number for each image"),
    ("galc_slr", "own.py:loss", "def loss(logits, targets):\n    return (logits - targets).square()\n",
     "method loss: gave Tensor of shape (8, 3) and type torch.float32; expected one finite number"),
    ("galc_slr", "own.py:loss", "def loss(logits, targets):\n    return logits.detach().sum()\n",
     "method loss: gave Tensor of shape () and type torch.float32; expected one finite number"),
    ("teacher_student", "own.py:clean", "def clean(features, noisy, clean):\n    return 2 * noisy\n",
     "method clean: gave ndarray of shape (12, 3) and type int8; expected labels between 0 and 1"),
]  # fmt: skip


@pytest.mark.parametrize("id, reference, text, told", BAD)
def test_what_does_not_fit_is_one_clear_line(id, reference, text, told, tmp_path):
    if text is not None:
        (tmp_path / "own.py").write_text(text)
        reference = f"{tmp_path}/{reference}"
    with pytest.raises(InputError, match=re.escape(told)) as error:
        grid(id, reference)
    assert "\n" not in str(error.value)


def test_two_methods_of_one_name_are_told_apart_before_anything_runs(tmp_path):
    text = TWINS["cleanlab_ema"][0]
    names = [written(tmp_path, text, name) for name in ("one.py", "two.py")]
    with pytest.raises(InputError, match="another one is called 'twin'; expected a name of its own"):
        grid("cleanlab_ema", *names)


def test_its_artefacts_lie_beside_the_profiles_and_nothing_in_them_is_exact(tmp_path):
    one, reference = paper("cleanlab_ema"), written(tmp_path, TWINS["cleanlab_ema"][0])
    asked = Asked("embedded", resources=Resources(methods=(reference,)), output=tmp_path)
    assert one.folder(asked) == tmp_path / "cleanlab_ema" / "embedded.method-twin"
    assert one.evidence(Asked("embedded")).of("ce2") is Evidence.EXACT
    assert one.evidence(asked).of("ce2") is Evidence.STAND_IN


def test_the_examples_of_the_page_are_the_files_and_its_commands_find_them():
    blocks = dict(BLOCK.findall(PAGE.read_text()))
    assert len(blocks) == 2
    for name, text in blocks.items():
        assert (ROOT / name).read_text() == text
    commands = COMMAND.findall(PAGE.read_text())
    assert {reference.rpartition(":")[0] for _, reference in commands} == set(blocks)
    for id, reference in commands:
        name = f"{ROOT}/{reference}"
        assert Resources(methods=(name,)).with_absolute_paths().methods == (name,)
        assert len(grid(id, name)) > len(grid(id))


def test_every_paper_has_a_row_in_the_pages_table_with_its_role():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", PAGE.read_text(), re.MULTILINE))
    assert rows == {id: paper(id).own.ROLE.kind for id in TWINS}
