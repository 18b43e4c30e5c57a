"""Which runs decide which claims, and which are taken where there are hours for some."""

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from nlcore.errors import InputError
from nlcore.papers import BUILT_IN, paper
from nlcore.papers.budget import Stake, Unit, check_budget, choose, make_stakes, total, with_lacking
from nlcore.papers.paper import load_rounded
from nlcore.report.verdicts import Verdict
from nlcore.runs import run_grid
from tests.runs.trivial import Square, Total

ROOT = Path(__file__).resolve().parents[2]


def stake(claim, *seeds, headline=False, first=""):
    """A claim whose units are the letters of words, one for each seed."""
    units = tuple(Unit((n,), frozenset(runs), frozenset(runs) & frozenset(first)) for n, runs in enumerate(seeds))
    return Stake("paper", claim, headline, units)


def taken(stakes, budget, **hours):
    found = choose(stakes, {run: ("cpu", took) for run, took in hours.items()}, budget, lambda runs, _: frozenset(runs))
    return "".join(sorted(found))


def test_claims_of_a_headline_come_before_cheaper_ones_and_two_seeds_before_more():
    stakes = [stake("cheap", "a", "b", "c"), stake("dear", "d", "e", "f", headline=True)]
    hours = dict(a=1, b=1, c=1, d=3, e=3, f=3)
    assert taken(stakes, 6, **hours) == "de"
    assert taken(stakes, 8, **hours) == "abde"
    assert taken(stakes, 9, **hours) == "abcde"  # the headline's third seed does not fit, the other's does
    assert taken(stakes, 11, **hours) == "abdef"
    assert taken(stakes, 12, **hours) == "abcdef"


def test_what_costs_least_beyond_what_is_taken_comes_first_and_shared_runs_count_once():
    stakes = [stake("alone", "ab", "cd"), stake("one", "xs", "yt"), stake("other", "us", "vt")]
    hours = dict.fromkeys("abcd", 3) | dict.fromkeys("xyuv", 1) | dict.fromkeys("st", 2)
    assert taken(stakes, 6, **hours) == "stxy"
    assert taken(stakes, 8, **hours) == "stuvxy"
    assert taken(stakes, 20, **hours) == "abcdstuvxy"


def test_of_a_claim_that_does_not_fit_the_first_noise_levels_are_taken():
    stakes = [stake("large", "abz", "cdz", first="ac"), stake("larger", "zzz", "zz")]
    hours = dict(a=1, c=1, b=5, d=5, z=50)
    assert taken(stakes, 4, **hours) == "ac"
    assert stakes[0].state("bdz") == "open, but for 0, 40 and 60 %"
    assert stakes[0].state("abdz") == stakes[1].state("z") == "open"


def test_each_kind_of_device_has_the_budget_to_itself():
    stakes = [stake("gpu", "a", "b"), stake("cpu", "c", "d")]
    hours = {"a": ("cuda", 1), "b": ("cuda", 1), "c": ("cpu", 1), "d": ("cpu", 1)}
    assert choose(stakes, hours, 2, lambda runs, _: frozenset(runs)) == set("abcd")
    assert choose(stakes, hours, 1.9, lambda runs, _: frozenset(runs)) == set()
    assert total("abc", hours) == {"cuda": 2, "cpu": 1}


def test_a_claim_is_decided_by_seeds_that_are_whole_and_never_by_one():
    three = stake("claim", "ab", "cd", "ef")
    assert three.state("") == "decided, 3 of 3 seeds"
    assert three.state("d") == "decided, 2 of 3 seeds"
    assert three.state("df") == "open"
    assert stake("single", "ab").state("") == stake("none").state("") == "no run decides it here"
    stacked = Stake("paper", "claim", False, (Unit((0, 1), frozenset("a"), frozenset()),))
    assert stacked.state("") == "decided, 2 of 2 seeds"


def test_what_a_run_requires_is_taken_with_it_unless_it_is_there():
    total_of_two, squares = Total(number=2), [Square(number=1), Square(number=2)]
    hours = {run: ("cpu", 1.0) for run in (total_of_two, *squares)}
    assert with_lacking([total_of_two], hours) == {total_of_two, *squares}
    del hours[squares[0]]
    assert with_lacking([total_of_two], hours) == {total_of_two, squares[1]}
    assert with_lacking([squares[0]], hours) == set()


def test_a_run_without_a_seed_belongs_to_every_seed():
    grid = paper("teacher_student").grid("smoke").main
    [one] = make_stakes("x", {"all": lambda spec: True}, ("all",), grid)
    assert [unit.seeds for unit in one.units] == [(0,), (1,)]
    assert one.headline and one.runs == set(grid)
    assert {grid[0]} == one.units[0].runs & one.units[1].runs


@pytest.mark.parametrize(
    ("budget", "partial", "line"),
    [
        (0.0, False, "budget: found 0 hours; expected a number above zero"),
        (-3.0, False, "budget: found -3 hours; expected a number above zero"),
        (float("nan"), False, "budget: found nan hours; expected a number above zero"),
        (float("inf"), False, "budget: found inf hours; expected a number above zero"),
        (5.0, True, "budget: found 5 hours beside --partial; expected one of them"),
    ],
)
def test_a_budget_that_is_none_is_one_line(budget, partial, line):
    with pytest.raises(InputError) as caught:
        check_budget(budget, partial=partial)
    assert str(caught.value) == line
    check_budget(None, partial=partial)
    check_budget(2.5, partial=False)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_claim_says_which_runs_decide_it(name):
    study, claims = paper(name).module("study"), paper(name).contract.claims()
    assert {claim.partition(" ")[0] for claim in study.CLAIM_READS} == set(claims)
    assert set(getattr(study, "HEADLINE", ())) <= set(claims)


@pytest.fixture(scope="module")
def finished(smoke_store):
    """Paper -> its smoke grid, computed, and the store; each made when it is first asked for."""
    made, store = {}, smoke_store

    def grid_of(name):
        if name not in made:
            made[name] = paper(name).grid("smoke").main
            run_grid(made[name], store, workers=0)
        return made[name], store

    return grid_of


@pytest.fixture
def session(finished, tmp_path):
    def opened(name):
        grid, store = finished(name)
        found = paper(name).open("smoke", partial=True, store=str(store.root), output=str(tmp_path))
        return replace(found, grid=replace(found.grid, main=tuple(grid), rungs=(), sweep=()))

    return opened


def words(decided):
    return {d.claim.id: [(part.name, part.verdict, str(part.estimate)) for part in d.parts] for d in decided}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_runs_that_a_claim_names_decide_it_as_all_runs_do(name, finished, session):
    grid, store = finished(name)
    whole = paper(name).module("claims").decide_claims(load_rounded(paper(name), grid, store, partial=False))
    opened, named = session(name), [stake.claim for stake in paper(name).stakes(grid) if stake.units]
    spoken = [replace(decided, evidence=opened.evidence.of(decided.claim.id)) for decided in whole]
    found, expected = words(opened.decided), words(spoken)
    assert found.keys() == expected.keys()
    assert {claim: found[claim] for claim in named} == {claim: expected[claim] for claim in named}
    assert found.keys() - named <= {"ce6", "ts7"}  # a person's review, and Open Images


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_without_any_one_of_its_runs_a_claim_of_two_seeds_is_not_run(name, finished, session):
    grid, opened = finished(name)[0], session(name)
    for one in paper(name).stakes(grid):
        for run in list(one.runs)[:: max(len(one.runs) // 3, 1)]:
            if sum(len(unit.seeds) for unit in one.whole({run})) >= 2:
                continue  # three datasets of cleanlab_ema: two are whole without it
            found = opened._decided_on(one, {run})
            assert found.verdict is Verdict.NOT_RUN, (one.claim, run.name)
            assert found.claim.id == one.claim
            assert "runs are there" in found.parts[0].reason


def rows_of(path, first):
    """The rows of a document's first table whose head begins with `first`, as lists of cells."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith(f"| {first}"))
    return [re.findall(r"[^|]+", line) for line in takewhile(lambda line: line.startswith("|"), lines[head + 2 :])]


def test_the_readmes_table_counts_the_claims_of_the_labs_table():
    decided = {row[0].strip(" `"): row[1:4] for row in rows_of("docs/labs.md", " | 10 GPU-hours")}
    counts = {name: len(paper(name).contract.claims()) for name in BUILT_IN}
    for place, row in enumerate(rows_of("README.md", "GPU-hours")):
        for name, cell in zip(BUILT_IN, row[1:], strict=True):
            claims = re.findall(r"[a-z]{2}\d+", decided[name][place])
            assert cell.strip() == f"{len(claims)} of {counts[name]}", (name, row[0])
