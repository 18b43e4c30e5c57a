"""A notebook as HTML that needs no network: nbconvert's body, formulas as MathML, alternative texts for images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nbconvert
import nbformat
from latex2mathml.converter import convert as to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from nlcore.app.notebooks import settle


class _Renderer(IPythonRenderer):
    """Formulas become MathML, which browsers draw themselves."""

    def block_math(self, body: str) -> str:
        return to_mathml(_known(body), display="block")

    def inline_math(self, body: str) -> str:
        return to_mathml(_known(body))


class OfflineExporter(HTMLExporter):
    """nbconvert's exporter without what it would load from elsewhere."""

    def markdown2html(self, source: str) -> str:
        """A cell of Markdown as HTML, its formulas as MathML."""
        return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)


def to_show(path: Path) -> NotebookNode:
    """An executed notebook with what a page shows of it."""
    notebook = nbformat.read(path, 4)
    _leave_out_the_machine(notebook)
    _describe_images(notebook)
    _link_images(notebook)
    return notebook


def made_from(notebook: NotebookNode) -> str:
    """Names all that `notebook_body` makes of it: its cells, this code, and who converts them."""
    shown = [{name: cell.get(name) for name in ("cell_type", "source", "outputs")} for cell in notebook.cells]
    content = [shown, Path(__file__).read_text(encoding="utf-8"), nbconvert.__version__]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def notebook_body(notebook: NotebookNode) -> str:
    """The cells of `to_show` as HTML, to be put into a page."""
    body, _ = OfflineExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    ).from_notebook_node(notebook)
    return body


def code_style() -> str:
    """The style sheet of highlighted code."""
    return HtmlFormatter(style="default").get_style_defs(".highlight")


def _leave_out_the_machine(notebook: NotebookNode) -> None:
    """Warnings and the parameters that Papermill put in name the folders of the machine it ran on."""
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    settle(notebook)


def _describe_images(notebook: NotebookNode) -> None:
    """Alternative texts of what was plotted in the open: the heading it stands under. A written figure has its own."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next((line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")), heading)
        for output in cell.get("outputs", []):
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    described = {"alt": f"{heading}: plotted by the code above"}
                    output.metadata[kind] = described | output.metadata.get(kind, {})


def _link_images(notebook: NotebookNode) -> None:
    """Figures that lie beside the page as files are shown from there, and not held by it once more."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        metadata = output.get("metadata", {})
        images = [kind for kind in metadata if kind.startswith("image/") and "file" in metadata[kind]]
        if images:
            metadata["filenames"] = {kind: metadata[kind]["file"] for kind in images}


def _known(formula: str) -> str:
    """What latex2mathml does not know, in terms of what it knows."""
    return formula.replace(r"\arg", r"\operatorname{arg}")
