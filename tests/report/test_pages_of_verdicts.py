"""README's findings and table of verdicts, what notebooks say in the end, and docs/verdicts.md: as in figures/."""

import importlib.util
import io
import re
import shutil
import subprocess
import tarfile

import nbformat
import pytest

from nlcore.errors import InputError
from nlcore.papers import papers
from nlcore.places import home
from nlcore.report.verdict_file import NAME, read_verdicts


def script(name):
    spec = importlib.util.spec_from_file_location(name, home() / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def says(figures):
    """Whether README says what is in these figures."""
    text = (home() / "README.md").read_text()
    try:
        return script("sentences").rendered(text, figures) == text
    except InputError:
        return False


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """The figures that README speaks of: the committed ones, where this machine has made other ones since.

    Another processor rounds otherwise, and some words hang on last digits. Without Git, and where README has been made
    anew with the figures, it is the working tree.
    """
    git = lambda *words: subprocess.run(["git", *words], cwd=home(), capture_output=True)
    changed = git("status", "--porcelain", "--", "figures")
    if changed.returncode or not changed.stdout or says(home() / "figures"):
        return home() / "figures"
    folder = tmp_path_factory.mktemp("committed")
    with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD", "figures").stdout)) as archive:
        archive.extractall(folder)  # of our own repository
    return folder / "figures"


def test_the_readme_says_what_is_in_figures(figures):
    text = (home() / "README.md").read_text()
    assert script("sentences").rendered(text, figures) == text


@pytest.mark.parametrize("page", script("sentences").PAGES)
def test_a_page_of_docs_says_what_is_in_figures(figures, page):
    assert script("sentences").said(page, figures) + "\n" == (home() / "docs" / f"{page}.md").read_text()


@pytest.mark.parametrize("path", sorted((home() / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_says_what_is_in_figures(path, figures):
    notebook, again = (nbformat.read(path, 4) for _ in range(2))
    assert script("sentences").with_sentences(again, path.stem, figures) == notebook


def copied(figures, folder):
    """Tables and verdicts of figures/, in a folder of the test's own."""
    for path in figures.glob("*/*"):
        if path.suffix == "" and path.is_dir():
            (folder / path.parent.name / path.name).mkdir(parents=True)
            for one in (*path.glob("*.csv"), *path.glob(NAME)):
                shutil.copy(one, folder / path.parent.name / path.name)
    return folder


def test_a_number_that_changes_is_another_finding_and_one_that_is_gone_an_error(tmp_path, figures):
    copied(figures, tmp_path)
    sentences, table = script("sentences"), tmp_path / "galc_slr" / "embedded" / "table_1.csv"
    before, text = sentences.said("findings", tmp_path), table.read_text()
    assert before == sentences.said("findings", figures)
    line = next(line for line in text.splitlines() if line.startswith("mAP,40,"))
    table.write_text(text.replace(line, "mAP,40,12.3 ± 1" + line[line.index(" (") :]))
    after = sentences.said("findings", tmp_path)
    assert "plain ASL 12.3," in after and "plain ASL 12.3," not in before
    table.write_text(text.replace(line, "mAP,40,– (52.18)" + line[line.index(")") + 1 :]))
    with pytest.raises(InputError, match=r"table_1.csv, asl, .*: found '– \(52.18\)'; expected a number$"):
        sentences.said("findings", tmp_path)
    table.write_text(text.replace(line + "\n", ""))
    with pytest.raises(InputError, match=r"^galc_slr/embedded/table_1.csv: rows with .*40.*: found 0; expected one$"):
        sentences.said("findings", tmp_path)
    table.unlink()
    with pytest.raises(InputError, match=r"^galc_slr/embedded/table_1.csv: found 'no such file'; expected it"):
        sentences.said("findings", tmp_path)


def test_a_result_that_turns_round_is_an_error_where_a_sentence_says_ahead():
    sentences = script("sentences")
    assert (sentences.ahead(2.26), sentences.to(-0.01), sentences.only(["ce5"], "ce5")) == ("2.3", "0.0", "ce5")
    with pytest.raises(InputError, match=r"ahead, or behind: found '-2.3'; expected its side"):
        sentences.ahead(-2.26)
    with pytest.raises(InputError, match=r"claims of a sentence: found 'none'; expected ce5"):
        sentences.only([], "ce5")


def test_a_sentence_says_a_side_where_the_interval_has_one_and_cannot_tell_where_it_has_none():
    sentences = script("sentences")
    clear, crossing = "-2.75 [-4.6, -0.894]", "0.418 [-1.73, 2.56]"
    assert (sentences.clearly(clear, -1), sentences.undecided(crossing)) == ("2.8", crossing)
    for said, text in ((sentences.clearly, crossing), (sentences.clearly, clear), (sentences.undecided, clear)):
        with pytest.raises(InputError, match="an interval"):
            said(text)


def test_a_verdict_that_changes_is_another_readme(tmp_path, figures):
    (tmp_path / "multi_al" / "embedded").mkdir(parents=True)
    kept = (figures / "multi_al" / "embedded" / NAME).read_text()
    (tmp_path / "multi_al" / "embedded" / NAME).write_text(kept)
    before = script("sentences").table(tmp_path)
    assert "`multi_al`, embedded" in before
    (tmp_path / "multi_al" / "embedded" / NAME).write_text(kept.replace('"holds"', '"inconclusive"'))
    assert script("sentences").table(tmp_path) != before


def test_every_number_of_a_notebooks_sentences_follows_its_table(tmp_path, figures):
    """A mAP of ASL that is another one is another sentence of the notebook, and of no other paper's."""
    table = copied(figures, tmp_path) / "missing_label_al" / "embedded" / "fair_gains.csv"
    table.write_text(re.sub(r"\d+\.\d+", "33.3", table.read_text()))
    pages = [f"{one.notebook.stem}/what-the-run-says" for one in papers().values()]
    say = lambda figures: [script("sentences").said(page, figures) for page in pages]
    differ = [old != new for old, new in zip(say(figures), say(tmp_path), strict=True)]
    assert dict(zip(pages, differ, strict=True)) == {page: page.startswith("02") for page in pages}


def test_a_page_without_a_cell_and_a_cell_without_a_page_are_told(figures):
    cell = nbformat.v4.new_markdown_cell(id="mine", metadata={"tags": ["sentences"]})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    told = r"^01_multi_al: pages without a cell or .*: found '.*mine, .*what-the-run-says.*'; expected none$"
    with pytest.raises(InputError, match=told):
        script("sentences").with_sentences(notebook, "01_multi_al", figures)


def test_a_number_that_a_cell_has_printed_is_taken_from_it_and_another_is_not_found(figures):
    printed = nbformat.v4.new_output("stream", text="of 3,072 flags 0.42 are right\n")
    cell = nbformat.v4.new_code_cell(id="flags", outputs=[printed])
    results = script("sentences").Results(figures, nbformat.v4.new_notebook(cells=[cell]))
    assert results.printed("flags", r"of ([\d,]+) flags") == 3072
    assert results.printed("flags", r"flags ([\d.]+) are") == 0.42
    with pytest.raises(InputError, match=r"'of \(9\)' in what cell flags printed: found 0; expected one$"):
        results.printed("flags", "of (9)")


def test_a_readme_without_its_marks_is_an_error(figures):
    with pytest.raises(InputError, match=r"README\.md: marks; expected"):
        script("sentences").rendered("no marks", figures)


def test_the_history_names_every_claim_with_its_verdict_of_now(figures):
    page = (home() / "docs" / "verdicts.md").read_text()
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        paper, profile = section.splitlines()[0].split(", ")
        found = {one.id: one for one in read_verdicts(figures / paper / profile / NAME)}
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith(f"| {next(iter(found))[:2]}")]
        told = {row[0].removeprefix("| "): row[2] for row in rows}
        assert told == {id: f"{one.verdict} ({one.evidence})" for id, one in found.items()}
