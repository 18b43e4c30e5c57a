"""Writes the pages of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from nlcore.app.light_imports import without_grammar_of_addresses
from nlcore.app.site.collect import ROWS_SHOWN, Folder, collect, collect_paper, of_another_edition
from nlcore.app.site.condensed import condensed
from nlcore.app.site.matrix import matrix
from nlcore.app.site.standing import finding, standing
from nlcore.errors import InputError
from nlcore.files import write_atomically
from nlcore.papers import papers
from nlcore.report.evidence import MEANINGS
from nlcore.report.overview import overview_figure, overview_table
from nlcore.report.pictures import drawn
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import to_csv

CONTENT = '<div class="notebook">'  # after it, a notebook's page holds the cells
SIGNS = {
    Verdict.HOLDS: "✓",
    Verdict.LARGER: "+",
    Verdict.DIRECTION: "~",
    Verdict.NOT_TESTABLE: "∅",
    Verdict.NOT_RUN: "·",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_SEEN: "–",
    Verdict.CONTRADICTED: "✗",
}


def reportable(figures: Path) -> bool:
    """Whether a folder holds the artefacts of any profile, whole or in part; variants are not in the report."""
    return any(collect(figures).values())


def build(figures: Path) -> Path:
    """Write index.html, a page per paper and profile, and the executed notebooks as HTML; returns the index.

    Raises:
        InputError: there is nothing to report.
    """
    found = collect(figures)
    if not any(found.values()):
        raise InputError(f"{figures}: no manifest in it; expected the artefacts of at least one paper")
    pages = _environment()
    folders = [folder for profiles in found.values() for folder in profiles.values()]
    for folder in folders:
        _write_notebook(pages, folder)
        _write_paper(pages, folder, found[folder.paper.id])
    shown = _shown_profiles(found)
    states = _states(found, shown)
    page = pages.get_template("index.html.j2").render(
        found=found, states=states, counts=_counts(states, shown), shown=shown, atlas=_atlas(found),
        overview=_overview(figures, found), outdated=of_another_edition(figures),
    )  # fmt: skip
    write_atomically(figures / "index.html", page)
    return figures / "index.html"


def write_notebook_page(figures: Path, paper: str, profile: str) -> None:
    """Write the executed notebook of one paper and profile as HTML, where it is in the report; `build` then need not.

    The process that executed it is a good place: others execute theirs at the same time.
    """
    folder = collect_paper(figures, paper).get(profile)
    if folder is not None:
        _write_notebook(_environment(), folder)


def _write_notebook(pages: Environment, folder: Folder) -> None:
    """The page of a folder's notebook, unless there is one of the same content."""
    notebook, path = _notebook(folder), folder.path / "notebook.html"
    if notebook is None:
        return
    without_grammar_of_addresses()
    from nlcore.app.site import notebook_page  # late: nbconvert is slow to load

    shown = notebook_page.to_show(notebook)
    template = pages.get_template("notebook.html.j2")
    options = {
        "title": f"{folder.paper.id}, {folder.profile}: the executed notebook",
        "code_style": Markup(notebook_page.code_style()),
        "made_from": notebook_page.made_from(shown),
    }
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    start, _, end = template.render(**options, body="").partition(CONTENT)  # all but the cells
    if not (before.startswith(start) and before.endswith(end)):
        write_atomically(path, template.render(**options, body=Markup(notebook_page.notebook_body(shown))))


def _write_paper(pages: Environment, folder: Folder, profiles: Mapping[str, Folder]) -> None:
    page = pages.get_template("paper.html.j2").render(
        folder=folder,
        profiles=profiles,
        sources=folder.paper.contract.sources(),
        corrections={id: claim.corrected for id, claim in folder.paper.contract.claims().items()},
        readings=folder.paper.readings().to_dict("records"),
        has_notebook=(folder.path / "notebook.html").is_file(),
    )
    write_atomically(folder.path / "index.html", page)


def _notebook(folder: Folder) -> Path | None:
    """The notebook that made the folder; of the default profile, else the one in notebooks/, which has its outputs."""
    executed, committed = folder.path / "notebook.ipynb", folder.paper.notebook
    if executed.is_file():
        return executed
    return committed if folder.profile == "embedded" else None


def _shown_profiles(found: Mapping[str, Mapping[str, Folder]]) -> list[str]:
    """The profiles of the matrix: those a reviewer asks about, and any other that was run."""
    run = {profile for profiles in found.values() for profile in profiles}
    return ["embedded", "finetune", "paper", *sorted(run - {"embedded", "finetune", "paper"})]


def _states(found: Mapping[str, Mapping[str, Folder]], shown: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Paper -> artefact of the contract -> profile -> state."""
    by_folder = {
        (paper, profile): {artefact.id: artefact.state for artefact in folder.artefacts}
        for paper, profiles in found.items()
        for profile, folder in profiles.items()
    }
    return {
        one.id: {
            id: {p: by_folder.get((one.id, p), {}).get(id, "not run") for p in shown} for id in one.contract.artefacts()
        }
        for one in papers().values()
    }


def _counts(
    states: Mapping[str, Mapping[str, Mapping[str, str]]], shown: Sequence[str]
) -> dict[str, dict[str, dict[str, int]]]:
    """Profile -> tables and figures -> how many were made, how many stand on other data, and how many there are."""
    rows = [(id, by_profile) for paper in states.values() for id, by_profile in paper.items()]
    kinds = {"tables": "table_", "figures": "fig_"}
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for profile in shown:
        counts[profile] = {}
        for kind, start in kinds.items():
            own = [by_profile[profile] for id, by_profile in rows if id.startswith(start)]
            counts[profile][kind] = {"made": own.count("made"), "stand_in": own.count("stand-in"), "all": len(own)}
    return counts


def _atlas(found: Mapping[str, Mapping[str, Folder]]) -> list[dict[str, str]]:
    """All rows of all papers, each with its paper and profile."""
    parts = [
        folder.atlas.assign(paper=paper, profile=profile)
        for paper, profiles in found.items()
        for profile, folder in profiles.items()
        if folder.atlas is not None
    ]
    return pd.concat(parts).to_dict("records") if parts else []


def _overview(figures: Path, found: Mapping[str, Mapping[str, Folder]]) -> tuple[int, int] | None:
    """Draw all claims in one picture (claims.png, .svg, .csv; claims_narrow.png for telephones); the size of the first,
    or None where no claim names a size."""
    decided = {(paper, profile): folder.verdicts for paper, own in found.items() for profile, folder in own.items()}
    table = overview_table(decided)
    if table.empty:
        return None
    figure = overview_figure(table)
    write_atomically(figures / "claims.csv", to_csv(table))
    for kind, content in drawn(figure).items():
        write_atomically(figures / f"claims.{kind}", content)
    write_atomically(figures / "claims_narrow.png", drawn(overview_figure(table, narrow=True))["png"])
    with Image.open(figures / "claims.png") as image:
        return image.size


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nlcore.app.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files(__package__) / "templates"
    environment.globals |= {
        "style": Markup((folder / "style.css").read_text(encoding="utf-8")),
        "script": Markup((folder / "script.js").read_text(encoding="utf-8")),
        "filter_script": Markup((folder / "filter.js").read_text(encoding="utf-8")),
        "titles": {name: one.title for name, one in papers().items()},
        "questions": {name: one.question for name, one in papers().items()},
        "standing": standing,
        "finding": finding,
        "condensed": condensed,
        "matrix": matrix,
        "words": [verdict.value for verdict in Verdict],
        "rows_shown": ROWS_SHOWN,
        "sign": lambda verdict: SIGNS[Verdict(verdict)],
        "claims_of": _claims_of,
        "kind": lambda verdict: Verdict(verdict).name.lower(),
        "meanings": {evidence.value: meaning for evidence, meaning in MEANINGS.items()},
        "number": _number,
    }
    environment.filters["sentence"] = _sentence
    return environment


def _sentence(text: str) -> str:
    """With a large first letter, unless its first word has one inside: mAP stays mAP."""
    first = text.partition(" ")[0]
    return text if any(letter.isupper() for letter in first) else text[:1].upper() + text[1:]


def _claims_of(profiles: Mapping[str, Folder]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Variant of the algorithm ("" first) -> its claims, each with its verdict at every profile that has one."""
    variants: dict[str, dict[str, dict[str, Any]]] = {}
    for profile, folder in profiles.items():
        for own in folder.verdicts:
            id, _, variant = own.id.partition(" ")
            claims = variants.setdefault(variant, {})
            row = claims.setdefault(id, {"id": id, "claim": own.claim, "by_profile": []})
            row["by_profile"].append((profile, own))
    return [(variant, list(claims.values())) for variant, claims in variants.items()]


def _number(value: Any) -> str:
    """A number of three digits for people; nothing for None."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
