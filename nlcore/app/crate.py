"""`run_all.py crate`: artefacts, notebooks and what made them as a RO-Crate, which archives and other programs read.

A crate is a folder with a description of every file in it (https://w3id.org/ro/crate; its profile for runs:
https://w3id.org/ro/wfrun/process). Beside the artefacts lies one page per paper with the sections that a report on
reproducibility has: scope, method, results, what was left open, what was not run.
"""

from __future__ import annotations

import mimetypes
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from nlcore.app.site.collect import Folder, collect
from nlcore.errors import InputError
from nlcore.files import require_writable_folder
from nlcore.papers.paper import Paper
from nlcore.places import home
from nlcore.report.verdict_file import NAME as VERDICTS
from nlcore.report.writer import MANIFEST, PROVENANCE, to_markdown
from nlcore.yaml_text import read_yaml

PROCESS_RUN = "https://w3id.org/ro/wfrun/process/0.5"


def export(names: Iterable[str], figures: Path, target: Path, console: Console) -> Path:
    """Write a crate of all profiles that these papers have artefacts of, in `figures`; returns its description.

    Raises:
        InputError: no artefacts; `target` is there already or cannot be written; the package `rocrate` is missing.
    """
    wanted = set(names)
    found = {id: folders for id, folders in collect(figures).items() if id in wanted and folders}
    if not found:
        raise InputError(f"{figures}: no artefacts of {', '.join(sorted(wanted))}; expected those of a finished batch")
    if target.exists():
        raise InputError(f"{target}: is there already; expected the name of a folder that is not")
    require_writable_folder(target.parent, what="folder of the crate")
    crate = _empty_crate()
    for folders in found.values():
        _add_paper(crate, folders)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:  # whole or not at all
        for id, folders in found.items():
            page = Path(beside) / f"{id}.md"
            page.write_text(report(folders), encoding="utf-8")
            crate.add_file(page, f"{id}.md", properties=_file(page.name, "Scope, method, results and limits"))
        crate.write(Path(beside) / "crate")
        (Path(beside) / "crate").rename(target)
    count = sum(len(folders) for folders in found.values())
    console.print(f"crate: {target} ({len(found)} papers, {count} profiles)", soft_wrap=True)
    return target / "ro-crate-metadata.json"


def report(folders: Mapping[str, Folder]) -> str:
    """One paper's page: the sections of a report on reproducibility, over all profiles with artefacts."""
    paper = next(iter(folders.values())).paper
    parts = [f"# {paper.title}", "## Scope: what the paper claims", _scope(folders), "## Method"]
    parts += [_method(folder) for folder in folders.values()]
    parts += ["## Results: what holds", *(_results(folder) for folder in folders.values())]
    parts += ["## What the paper leaves open, and how it was read", to_markdown(paper.readings())]
    parts += ["## What was not run", *(_not_run(folder) for folder in folders.values())]
    return "\n\n".join(parts) + "\n"


def _scope(folders: Mapping[str, Folder]) -> str:
    claims = {claim.id: claim.claim for folder in folders.values() for claim in folder.verdicts}
    return "\n".join(f"* {id}: {text}" for id, text in claims.items())


def _method(folder: Folder) -> str:
    runs, seeds = folder.manifest["runs"], ", ".join(map(str, folder.manifest["seeds"]))
    text = f"Profile `{folder.profile}`: {runs['finished']} of {runs['planned']} runs, seeds {seeds or 'none'}."
    if made := folder.provenance:
        text += f" {made['core_seconds']:.0f} core-seconds; code of commit {made['commit']}."
    return text


def _results(folder: Folder) -> str:
    """Claims with their verdicts."""
    lines = [f"### {folder.profile}", ""]
    for claim in folder.verdicts:
        shown = f"; {claim.speaking.name}: {claim.speaking.shown}" if claim.speaking.shown else ""
        held = f"{claim.share} parts hold"
        lines.append(f"* {claim.id}: **{claim.verdict}** ({claim.evidence}; {held}{shown})")
    return "\n".join(lines)


def _not_run(folder: Folder) -> str:
    lines = [f"* {artefact}: not made" for artefact in folder.manifest["not_made"]]
    lines += [f"* {', '.join(need.artefacts)}: {need.instead}; needs {need.data}" for need in folder.needs()]
    return "\n".join([f"### {folder.profile}", "", *(lines or ["Nothing."])])


def _empty_crate() -> Any:
    """A crate that says whose it is, from CITATION.cff."""
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise InputError("crate: the package rocrate is missing; expected pip install '.[crate]'") from error
    crate, path = ROCrate(), home() / "CITATION.cff"
    if path.is_file():  # of a checkout
        said = read_yaml(path.read_text(encoding="utf-8"))
        crate.name, crate.description, crate.license = said["title"], said["abstract"], said["license"]
        crate.keywords = said["keywords"]
        authors = [
            crate.add(ContextEntity(crate, f"#author-{number}", {"@type": "Organization", "name": author["name"]}))
            for number, author in enumerate(said["authors"], start=1)
        ]
        crate.root_dataset["author"] = authors
    crate.root_dataset["conformsTo"] = crate.add(
        ContextEntity(crate, PROCESS_RUN, {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"})
    )
    return crate


def _add_paper(crate: Any, folders: Mapping[str, Folder]) -> None:
    """The paper, its notebook, and per profile the artefacts and the action that made them."""
    from rocrate.model.contextentity import ContextEntity

    paper = next(iter(folders.values())).paper
    article = crate.add(ContextEntity(crate, f"#{paper.id}", {"@type": "ScholarlyArticle", "name": paper.title}))
    notebook = _add_notebook(crate, paper)
    for folder in folders.values():
        artefacts = _add_artefacts(crate, folder)
        artefacts["isBasedOn"] = article
        name = f"{paper.id}, profile {folder.profile}"
        made = {"@type": "CreateAction", "name": name, "description": _method(folder)}
        action = crate.add(ContextEntity(crate, f"#{paper.id}-{folder.profile}", made))
        action["instrument"], action["result"] = notebook, artefacts
        crate.root_dataset.append_to("mentions", action)


def _add_notebook(crate: Any, paper: Paper) -> Any:
    properties = {
        "@type": ["File", "SoftwareSourceCode"],
        "name": f"Notebook of {paper.id}",
        "encodingFormat": "application/x-ipynb+json",
        "programmingLanguage": "Python",
    }
    return crate.add_file(paper.notebook, f"notebooks/{paper.notebook.name}", properties=properties)


def _add_artefacts(crate: Any, folder: Folder) -> Any:
    """A data set of all files that the manifest names, each with its caption; the verdicts as its properties."""
    place = f"figures/{folder.paper.id}/{folder.profile}"
    described = {"name": f"Tables and figures of {folder.paper.id}, profile {folder.profile}"}
    whole = crate.add_dataset(dest_path=place, properties=described)
    names = {name: entry["caption"] for entry in folder.manifest["artefacts"].values() for name in entry["files"]}
    names |= {VERDICTS: "Every claim and its parts", MANIFEST: "What was made"}
    if folder.provenance:
        names[PROVENANCE] = "What made it, and on which machines"
    for name, caption in names.items():
        described = _file(name, caption)
        whole.append_to("hasPart", crate.add_file(folder.path / name, f"{place}/{name}", properties=described))
    for claim in folder.verdicts:
        value = {"@type": "PropertyValue", "name": claim.id, "value": str(claim.verdict), "description": claim.claim}
        whole.append_to("variableMeasured", crate.add_jsonld({"@id": f"#{place}/{claim.id}", **value}))
    return whole


def _file(name: str, caption: str) -> dict[str, str]:
    """What a crate says of a file."""
    return {"description": caption, "encodingFormat": mimetypes.guess_type(name)[0]}
