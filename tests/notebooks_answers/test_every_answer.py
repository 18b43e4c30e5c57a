"""Every exercise has one folded answer that a browser and JupyterLab fold, with code as we would write it."""

from html.parser import HTMLParser

import pytest

from nlcore.app.site.notebook_page import OfflineExporter
from tests.notebooks_answers.reading import exercise_cell, exercises

ANSWERED = (1, 2, 3, 4, 5)


class Folded(HTMLParser):
    """How often each tag opens, and which of them open inside a folded answer."""

    def __init__(self, text):
        super().__init__()
        self.opened, self.inside, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.opened.append((tag, "li" in self.open))
        if tag not in ("br", "img", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        if "details" not in self.open:
            self.text += data


@pytest.mark.parametrize("number", ANSWERED)
def test_every_exercise_has_one_answer(number):
    found = exercises(number)
    assert list(found) == list(range(1, len(found) + 1))
    cell = exercise_cell(number)
    assert cell.count("<details>") == cell.count("</details>") == cell.count("<summary>") == len(found)
    for exercise in found.values():
        assert exercise.question and len(exercise.answer.split()) > 20


@pytest.mark.parametrize("number", ANSWERED)
def test_a_browser_folds_the_answers_inside_of_the_list(number):
    page = Folded(OfflineExporter().markdown2html(exercise_cell(number)))
    found = exercises(number)
    assert page.opened.count(("details", True)) == page.opened.count(("summary", True)) == len(found)
    assert [tag for tag, _ in page.opened].count("ol") == 1
    assert "```" not in page.text and "$" not in page.text and "def " not in page.text
    assert ("merror", True) not in page.opened


@pytest.mark.parametrize("number", ANSWERED)
def test_lines_are_short_enough(number):
    assert all(len(line) <= 160 for line in exercise_cell(number).splitlines())  # of text, as in the cells around it
    for exercise in exercises(number).values():
        assert all(len(line) <= 120 for line in exercise.code.splitlines())
