"""README's findings and table of verdicts, and docs/verdicts.md, say what the files in figures/ say."""

import importlib.util
import re
import shutil

import pytest

from nlcore.errors import InputError
from nlcore.places import home
from nlcore.report.verdict_file import NAME, read_verdicts


def script(name):
    spec = importlib.util.spec_from_file_location(name, home() / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_says_what_is_in_figures():
    text = (home() / "README.md").read_text()
    assert script("readme").rendered(text, home() / "figures") == text


def test_a_number_that_changes_is_another_finding_and_one_that_is_gone_an_error(tmp_path):
    for path in (home() / "figures").glob("*/*"):
        if path.suffix == "" and path.is_dir():
            kept = [*path.glob("*.csv"), *path.glob(NAME)]
            (tmp_path / path.parent.name / path.name).mkdir(parents=True)
            for one in kept:
                shutil.copy(one, tmp_path / path.parent.name / path.name)
    readme, table = script("readme"), tmp_path / "galc_slr" / "embedded" / "table_1.csv"
    before, text = readme.findings(tmp_path), table.read_text()
    assert before == readme.findings(home() / "figures")
    line = next(line for line in text.splitlines() if line.startswith("mAP,40,"))
    table.write_text(text.replace(line, "mAP,40,12.3 ± 1" + line[line.index(" (") :]))
    after = readme.findings(tmp_path)
    assert "plain ASL 12.3," in after and "plain ASL 12.3," not in before
    table.write_text(text.replace(line, "mAP,40,– (52.18)" + line[line.index(")") + 1 :]))
    with pytest.raises(InputError, match=r"table_1.csv, asl, .*: found '– \(52.18\)'; expected a number$"):
        readme.findings(tmp_path)
    table.write_text(text.replace(line + "\n", ""))
    with pytest.raises(InputError, match=r"^galc_slr/embedded/table_1.csv: rows with .*40.*: found 0; expected one$"):
        readme.findings(tmp_path)
    table.unlink()
    with pytest.raises(InputError, match=r"^galc_slr/embedded/table_1.csv: found 'no such file'; expected it"):
        readme.findings(tmp_path)


def test_a_result_that_turns_round_is_an_error_where_a_sentence_says_ahead():
    readme = script("readme")
    assert (readme.ahead(2.26), readme.to(-0.01), readme.only(["ce5"], "ce5")) == ("2.3", "0.0", "ce5")
    with pytest.raises(InputError, match=r"ahead, or behind: found '-2.3'; expected its side"):
        readme.ahead(-2.26)
    with pytest.raises(InputError, match=r"claims of a sentence: found 'none'; expected ce5"):
        readme.only([], "ce5")


def test_a_verdict_that_changes_is_another_readme(tmp_path):
    (tmp_path / "multi_al" / "embedded").mkdir(parents=True)
    kept = (home() / "figures" / "multi_al" / "embedded" / NAME).read_text()
    (tmp_path / "multi_al" / "embedded" / NAME).write_text(kept)
    before = script("readme").table(tmp_path)
    assert "`multi_al`, embedded" in before
    (tmp_path / "multi_al" / "embedded" / NAME).write_text(kept.replace('"holds"', '"inconclusive"'))
    assert script("readme").table(tmp_path) != before


def test_a_readme_without_its_marks_is_an_error():
    with pytest.raises(InputError, match=r"README\.md: marks; expected"):
        script("readme").rendered("no marks", home() / "figures")


def test_the_history_names_every_claim_with_its_verdict_of_now():
    page = (home() / "docs" / "verdicts.md").read_text()
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        paper, profile = section.splitlines()[0].split(", ")
        found = {one.id: one for one in read_verdicts(home() / "figures" / paper / profile / NAME)}
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith(f"| {next(iter(found))[:2]}")]
        told = {row[0].removeprefix("| "): row[2] for row in rows}
        assert told == {id: f"{one.verdict} ({one.evidence})" for id, one in found.items()}
