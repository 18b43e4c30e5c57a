"""The report as a reviewer meets it: opened from disk in a real browser, every link followed, at three widths."""

import html
import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import nbformat
import pandas as pd
import pytest

from nlcore.app.site import build, reportable, write_notebook_page
from nlcore.app.site.build import SIGNS, _sentence
from nlcore.app.site.collect import collect, describe
from nlcore.app.site.notebook_page import notebook_body, to_show
from nlcore.app.site.standing import Share, Standing, standing
from nlcore.errors import InputError
from nlcore.papers import papers
from nlcore.report.evidence import MEANINGS, Evidence
from nlcore.report.verdicts import Verdict

FIGURES = Path(__file__).resolve().parents[2] / "figures"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The committed artefacts with the pages made anew."""
    figures = tmp_path_factory.mktemp("report") / "figures"
    shutil.copytree(FIGURES, figures, ignore=shutil.ignore_patterns("*.html"))
    build(figures)
    return figures


class Page(HTMLParser):
    """Links, anchors and images of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.images, self.loaded = [], set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        if tag == "a":
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given)
        if tag in ("script", "link", "iframe", "source", "video"):
            self.loaded += [given[name] for name in ("src", "href") if name in given]


def pages(figures):
    return {path.resolve(): Page(path) for path in figures.rglob("*.html")}


def test_all_five_papers_have_their_pages_and_no_link_is_dead(report):
    found = pages(report)
    for paper in papers():
        for name in ("index.html", "notebook.html"):
            assert (report / paper / "embedded" / name).resolve() in found
    for path, page in found.items():
        for link in page.links:
            target, fragment = urldefrag(urljoin(path.as_uri(), link))
            if urlparse(target).scheme in ("http", "https"):  # sources that a text cites
                continue
            file = Path(unquote(urlparse(target).path))
            assert file.exists(), f"{path}: {link}"
            if fragment and file.suffix == ".html":
                assert unquote(fragment) in found[file].anchors, f"{path}: {link}"


def test_nothing_is_loaded_from_elsewhere_and_every_image_is_there_and_described(report):
    for path, page in pages(report).items():
        assert all(source.startswith("data:") for source in page.loaded), path
        for image in page.images:
            if "src" not in image:  # of the dialog, filled when a figure is enlarged
                continue
            assert image.get("alt"), f"{path}: {image['src'][:80]}"
            assert image["src"].startswith("data:") or (path.parent / image["src"]).is_file(), path


def test_every_artefact_of_the_contract_is_on_its_papers_page(report):
    for name, one in papers().items():
        page = Page(report / name / "embedded" / "index.html")
        assert set(one.contract.artefacts()) <= page.anchors


def test_what_needs_other_data_is_listed_with_the_command_that_makes_it(report):
    text = (report / "index.html").read_text()
    for one in papers().values():
        for need in one.needs:
            assert need.command in text
            assert set(need.artefacts) <= set(one.contract.artefacts())


def test_what_a_budget_left_open_is_on_the_first_page_until_the_profile_is_whole(tmp_path):
    figures = tmp_path / "figures"
    part = figures / "cleanlab_ema" / "paper.partial"
    shutil.copytree(FIGURES / "cleanlab_ema" / "paper", part)
    told = json.loads((part / "verdicts.json").read_text())
    claims = [claim | {"verdict": "not run" if claim["id"] in ("ce2", "ce4") else claim["verdict"]}
              for claim in told["claims"]]  # fmt: skip
    (part / "verdicts.json").write_text(json.dumps(told | {"claims": claims}))
    (part / "table_s2.csv").write_text("\n")  # a table that no run is behind
    assert reportable(figures)
    text = build(figures).read_text()
    assert "still open, for want of runs: ce2, ce4" in text
    assert "paper.partial: tables, figures, claims" in text
    assert "--profile paper show" in (part / "index.html").read_text()
    shutil.copytree(FIGURES / "cleanlab_ema" / "paper", figures / "cleanlab_ema" / "paper")
    text = build(figures).read_text()
    assert "paper.partial" not in text and "still open" not in text


def test_every_verdict_says_on_what_it_stands_and_the_words_are_explained(tmp_path):
    figures = tmp_path / "figures"
    shutil.copytree(FIGURES / "cleanlab_ema" / "embedded", figures / "cleanlab_ema" / "embedded")
    file = figures / "cleanlab_ema" / "embedded" / "verdicts.json"
    told = json.loads(file.read_text())
    evidence = dict(zip([claim["id"] for claim in told["claims"]], itertools.cycle(MEANINGS)))
    words = {Evidence.EXACT: "contradicted", Evidence.SIMULATED: "holds"}
    words |= dict.fromkeys((Evidence.FROZEN, Evidence.STAND_IN), "not seen here")
    changed = [claim | {"evidence": evidence[claim["id"]], "verdict": words[evidence[claim["id"]]]}
               for claim in told["claims"]]  # fmt: skip
    file.write_text(json.dumps(told | {"claims": changed}))
    build(figures)
    for page in (figures / "index.html", figures / "cleanlab_ema" / "embedded" / "index.html"):
        text = html.unescape(page.read_text())
        assert all(meaning in text for meaning in MEANINGS.values())
        assert "A frozen backbone or a stand-in cannot contradict a paper" in text
        shown = re.findall(r"(?:#claim-|<h3>)(\w+)(?:\">\w+</a>)? <span class=\"verdict (\w+)\">.*?</span> "
                           r"([\w ]+)</span> "
                           r"<span class=\"evidence\" title=\"[^\"]+\">([\w -]+)</span>", text)  # fmt: skip
        kinds = {"contradicted": "contradicted", "holds": "holds", "not seen here": "not_seen"}
        assert shown == [(id, kinds[words[stands]], words[stands], stands.value) for id, stands in evidence.items()]


def test_the_first_page_says_every_claim_in_words_beside_its_verdicts_and_draws_those_with_a_size(report):
    text = html.unescape((report / "index.html").read_text())
    for one in papers().values():
        for claim in one.contract.claims().values():
            assert f"<b>{claim.id}</b> {claim.claim}" in text
    drawn = pd.read_csv(report / "claims.csv")
    assert {"ma1", "ml2", "ce4", "gs1", "ts3"} <= set(drawn.claim)
    assert (drawn.published > 0).all() and (drawn.low <= drawn["mean"]).all()
    assert 'src="claims.png"' in text and (report / "claims.svg").is_file()


def test_the_first_page_asks_each_papers_question_and_answers_it_with_its_key_pair_of_numbers(report):
    text = html.unescape((report / "index.html").read_text())
    for name, one in papers().items():
        assert one.question.endswith("?") and f'<p class="question">{one.question}</p>' in text
        for profile, folder in collect(report)[name].items():
            told = folder.key.entry["headline"]
            pair = f'<span class="published">paper {told["paper"]}</span>, ours <b>{told["ours"]}</b>'
            where = f'href="{name}/{profile}/index.html#{one.key[0]}"'
            (line,) = [line for line in text.splitlines() if pair in line and where in line and "headline" in line]
            assert f"{one.key[1]}:</span>" in line and f"</span> {folder.claim(one.key[1]).verdict}</span>" in line


def test_the_first_page_shows_every_figure_in_small_with_the_papers_number_beside_ours(report):
    page = Page(report / "index.html")
    shown = {image["src"] for image in page.images if "src" in image}
    for name, profiles in collect(report).items():
        for profile, folder in profiles.items():
            made = {figure.id: figure for figure in folder.figures}
            assert {f"{name}/{profile}/{figure.image}" for figure in made.values()} <= shown
            assert {f"{name}/{profile}/index.html#{id}" for id in made} <= set(page.links)


def articles(figures, paper, profile):
    """Claim -> its part of the page."""
    text = html.unescape((figures / paper / profile / "index.html").read_text())
    return dict(re.findall(r'<article class="claim" id="claim-(\w+)">(.*?)</article>', text, re.DOTALL))


def test_a_claim_leads_to_its_tables_to_where_it_holds_and_to_the_readings_that_flip_it(report):
    flips = maps = 0
    for name, profiles in collect(report).items():
        for profile, folder in profiles.items():
            for id, article in articles(report, name, profile).items():
                maps += id in folder.mapped
                assert ('href="#where_it_holds"' in article) == (id in folder.mapped), f"{name}, {profile}, {id}"
                flips += len(folder.flips(id))
                assert ("Another verdict by" in article) == bool(folder.flips(id))
                assert all(f"{row['reading']} <span" in article for row in folder.flips(id))
                others = [other for other in profiles if other != profile and profiles[other].claim(id)]
                assert all(f'href="../{other}/index.html#claim-{id}"' in article for other in others)
    assert flips > 10 and maps > 10
    assert '<a href="#fig_6">Figure 6</a>' in articles(report, "galc_slr", "embedded")["gs4"]
    folder = collect(report)["cleanlab_ema"]["embedded"]
    named = [one.id for one in folder.named_in("Table S2, row EMA; Figures 3, 4; Fig. s8; a figure 99; tables")]
    assert set(named) == {"table_s2", "fig_3", "fig_s8"}


def test_a_score_weighs_what_was_made_what_looks_like_ours_and_twice_what_holds(tmp_path):
    figures = tmp_path / "figures"
    shutil.copytree(FIGURES / "galc_slr" / "embedded", figures / "galc_slr" / "embedded")
    before = standing(collect(figures)["galc_slr"]["embedded"])
    cells = pd.read_csv(figures / "galc_slr" / "embedded" / "published_cells.csv")
    assert before.cells == ((cells.inside == "yes").sum(), cells.inside.notna().sum())
    assert before.artefacts == (len(papers()["galc_slr"].contract.artefacts()),) * 2
    file = figures / "galc_slr" / "embedded" / "verdicts.json"
    told = json.loads(file.read_text())
    words = ("holds", "larger than published", "holds in direction", "inconclusive", "not testable", "not run")
    claims = [claim | {"verdict": word} for claim, word in zip(told["claims"], words, strict=False)]
    file.write_text(json.dumps(told | {"claims": claims}))
    after = standing(collect(figures)["galc_slr"]["embedded"])
    assert after.claims == (3, 4)
    assert Standing(Share(1, 1), Share(1, 2), Share(3, 4)).score == pytest.approx((1 + 0.5 + 2 * 0.75) / 4)
    assert Standing(Share(1, 1), Share(0, 0), Share(1, 4)).score == pytest.approx((1 + 2 * 0.25) / 3)
    assert Standing(Share(0, 0), Share(0, 0), Share(0, 0)).score == 0


def test_a_benchmarks_published_means_count_where_all_datasets_ran():
    found = standing(collect(FIGURES)["cleanlab_ema"]["paper"])
    scores = pd.read_csv(FIGURES / "cleanlab_ema" / "paper" / "published_scores.csv")
    ran = scores[scores.datasets == 10]
    assert found.cells == (len(ran) - (ran.judgement == "off").sum(), len(ran))


def test_every_word_of_a_verdict_has_a_sign_and_a_colour():
    style = (Path(build.__code__.co_filename).parent / "templates" / "style.css").read_text()
    assert set(SIGNS) == set(Verdict)
    assert len(set(SIGNS.values())) == len(Verdict)
    assert all(f".verdict.{word.name.lower()} {{" in style for word in Verdict)


def test_a_folder_of_another_edition_is_left_out_and_named(tmp_path):
    figures = tmp_path / "figures"
    shutil.copytree(FIGURES / "cleanlab_ema" / "embedded", figures / "cleanlab_ema" / "embedded")
    shutil.copytree(FIGURES / "cleanlab_ema" / "embedded", figures / "cleanlab_ema" / "paper")
    (figures / "cleanlab_ema" / "paper" / "verdicts.json").write_text("[]")
    text = build(figures).read_text()
    assert "run the profile again): cleanlab_ema/paper." in text
    assert "cleanlab_ema/paper/index.html" not in text
    assert "cleanlab_ema/embedded/index.html" in text


def test_a_contract_line_reads_as_text():
    row = {"is": "ASL by noise", "series": ["raw", "masked"], "panels": {"a": "mAP"}, "file": "x"}
    assert describe(row) == "ASL by noise; series: raw, masked; panels: (a) mAP"


def test_a_folder_without_artefacts_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no manifest in it; expected the artefacts of at least one paper"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not reportable(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_every_page_opens_without_an_error_and_fits_the_screen(report, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url[:200]))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url[:200]))
    seen, waiting = set(), [(report / "index.html").resolve().as_uri()]
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        page.goto(address)
        broken = page.evaluate(
            "Promise.all([...document.images].filter(i => i.getAttribute('src')).map(i => { i.loading = 'eager';"
            " return i.decode().then(() => null, () => i.src.slice(0, 200)); })).then(all => all.filter(Boolean))"
        )
        assert broken == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is wider than {width}"
        links = page.evaluate("[...document.links].map(link => link.href.split('#')[0])")
        waiting += [link for link in links if link.startswith("file:") and link.endswith(".html")]
    assert problems == []
    assert len(seen) == len(list(report.rglob("*.html")))
    page.close()


@pytest.mark.slow
def test_a_figure_is_enlarged_and_closed_with_the_keyboard_alone(report, browser):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((report / "multi_al" / "embedded" / "index.html").resolve().as_uri())
    page.focus("#fig_7 a.enlarge")
    page.keyboard.press("Enter")
    assert page.is_visible("dialog img")
    assert page.get_attribute("dialog img", "alt") == page.get_attribute("#fig_7 a.enlarge img", "alt")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog")
    assert page.evaluate("document.activeElement.closest('#fig_7') !== null"), "the focus is back where it was"
    page.close()


@pytest.mark.slow
def test_claims_are_found_by_words_by_verdict_and_by_evidence(report, browser):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((report / "index.html").resolve().as_uri())
    visible = lambda: page.eval_on_selector_all(".claims > li", "all => all.filter(one => !one.hidden).length")
    first = lambda: page.eval_on_selector_all(
        ".claims > li", "all => all.filter(one => !one.hidden).map(one => one.querySelector('b').textContent)"
    )
    every = visible()
    page.fill(".filter input", "corruption matrix of nobody")
    assert visible() == 0 and page.text_content(".filter output") == f"0 of {every} claims"
    page.fill(".filter input", "ENTROPY BEATS")
    assert set(first()) == {"ma3", "ma8", "ml1", "ml2"}
    page.fill(".filter input", "")
    page.select_option(".filter select[name=verdict]", "contradicted")
    decided = [one for own in collect(report).values() for folder in own.values() for one in folder.verdicts]
    assert set(first()) == {one.id.split()[0] for one in decided if one.verdict == Verdict.CONTRADICTED}
    page.select_option(".filter select[name=evidence]", "exact")
    asked = (Verdict.CONTRADICTED, Evidence.EXACT)
    assert set(first()) == {one.id.split()[0] for one in decided if (one.verdict, one.evidence) == asked}
    page.select_option(".filter select[name=verdict]", "")
    page.select_option(".filter select[name=evidence]", "")
    assert visible() == every and page.text_content(".filter output") == ""
    page.close()


@pytest.mark.slow
def test_on_paper_everything_folded_is_shown(report, browser, tmp_path):
    page = browser.new_page()
    page.goto((report / "galc_slr" / "embedded" / "index.html").resolve().as_uri())
    page.pdf(path=str(tmp_path / "report.pdf"))
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    page.close()


def test_a_sentence_begins_with_a_large_letter_but_map_stays_map():
    assert [_sentence(text) for text in ("the mean", "mAP at 60 %", "")] == ["The mean", "mAP at 60 %", ""]


def test_a_notebooks_page_shows_a_written_figure_from_its_file_and_holds_any_other(tmp_path):
    def shown(**metadata):
        return nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="}, metadata=metadata)

    cells = [nbformat.v4.new_markdown_cell("## By hand"), *map(nbformat.v4.new_code_cell, ("figure_1()", "plot(x)"))]
    written = {"file": "fig_1.png", "alt": "a line", "width": 420}
    cells[1].outputs, cells[2].outputs = [shown(**{"image/png": written})], [shown()]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    page = tmp_path / "page.html"
    page.write_text(notebook_body(to_show(path)))
    written, other = Page(page).images
    assert (written["src"], written["width"], written["alt"]) == ("fig_1.png", "420", "a line")
    assert other["src"].startswith("data:image/png") and other["alt"].startswith("By hand: ")


def executed(path, text):
    """A notebook of one cell that printed `text`."""
    cell = nbformat.v4.new_code_cell("print(x)", outputs=[nbformat.v4.new_output("stream", name="stdout", text=text)])
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def test_a_notebooks_page_is_written_again_only_when_it_shows_something_else(tmp_path):
    source = FIGURES / "multi_al" / "embedded"
    folder = tmp_path / "multi_al" / "embedded"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.png", "*.svg", "*.html", "*.ipynb"))
    page, written = folder / "notebook.html", []
    for text in ("one", "one", "two", "two"):
        executed(folder / "notebook.ipynb", text)
        write_notebook_page(tmp_path, "multi_al", "embedded")
        written.append((page.stat().st_mtime_ns, text in page.read_text()))
    (first, there), again, other, last = written
    assert there and again == (first, True) and other[0] > first and last == other and last[1]
    page.write_text(page.read_text().removesuffix("</html>\n"))
    write_notebook_page(tmp_path, "multi_al", "embedded")
    assert page.read_text().rstrip().endswith("</html>"), "a page that is cut off is no page"


def test_a_damaged_folder_of_another_paper_is_no_reason_not_to_write_a_page(tmp_path):
    for paper in ("multi_al", "galc_slr"):
        folder = tmp_path / paper / "embedded"
        folder.mkdir(parents=True)
        for name in ("manifest.json", "verdicts.json"):
            shutil.copy(FIGURES / paper / "embedded" / name, folder / name)
    (tmp_path / "galc_slr" / "embedded" / "manifest.json").write_text("{")
    executed(tmp_path / "multi_al" / "embedded" / "notebook.ipynb", "one")
    write_notebook_page(tmp_path, "multi_al", "embedded")
    assert (tmp_path / "multi_al" / "embedded" / "notebook.html").is_file()


def test_what_reads_notebooks_is_loaded_without_a_grammar_of_addresses():
    code = """
import sys
from nlcore.app.light_imports import GRAMMAR, without_grammar_of_addresses
without_grammar_of_addresses()
import nbconvert, nbformat, papermill
assert "jsonschema" in sys.modules and GRAMMAR not in sys.modules and "lark" not in sys.modules
nbformat.validate(nbformat.v4.new_notebook())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
