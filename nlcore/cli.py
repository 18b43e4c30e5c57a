"""The command line of `run_all.py`: options in, one clear line and an exit code out.

Exit codes: 0, every notebook executed; 1, a run or a notebook failed; 2, unusable input; 130, interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from nlcore import batch
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.papers import NOTEBOOKS
from nlcore.profiles import Resources, parse_seeds
from nlcore.runs import RunFailedError

INTERRUPTED = 130
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def run(
    papers: Annotated[str, typer.Option(help=f"comma-separated: {', '.join(NOTEBOOKS)}")] = ",".join(NOTEBOOKS),
    profile: Annotated[str, typer.Option(help="how much to run: smoke, embedded, finetune, paper")] = "embedded",
    seeds: Annotated[str | None, typer.Option(help="instead of the profile's own, such as 0-4,7")] = None,
    workers: Annotated[int | None, typer.Option(help="processes; one per core by default")] = None,
    data_root: Annotated[str | None, typer.Option(help="folder of the images that finetune and paper train on")] = None,
    celeba_root: Annotated[
        str | None, typer.Option(help="folder of CelebA, for cleanlab_ema")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="file of pre-trained weights; timm: those timm publishes")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    on_bad_image: Annotated[str, typer.Option(help="fail, or skip: leave it out and count it")] = "fail",
    deterministic: Annotated[bool, typer.Option("--deterministic", help="identical bytes on a GPU, slower")] = False,
    output: Annotated[Path, typer.Option(help="where tables and figures go")] = batch.Batch.output,
    store: Annotated[Path, typer.Option(help="where finished runs are kept")] = batch.Batch.store,
    plan: Annotated[
        bool, typer.Option("--plan", help="only show which runs there are and what they will cost")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="compute everything again")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="compute nothing; show what is finished")] = False,
    update_notebooks: Annotated[
        bool, typer.Option("--update-notebooks", help="also keep the outputs in notebooks/ (for maintainers)")
    ] = False,
    parameter: Annotated[list[str] | None, typer.Option("-p", help="NAME=VALUE, a notebook's own parameter")] = None,
) -> int:
    """Re-run the papers. Everything finished is kept: the same command again computes only what is missing."""
    resolve_device(device)
    if on_bad_image not in ("fail", "skip"):
        raise InputError(f"on-bad-image {on_bad_image!r}: unknown; expected fail or skip")
    if workers is not None and workers < 1:
        raise InputError(f"workers {workers}: expected one or more")
    asked = batch.Batch(
        papers=[name for name in papers.replace(" ", "").split(",") if name],
        profile=profile,
        seeds=None if seeds is None else parse_seeds(seeds),
        workers=workers,
        resources=Resources(data_root, weights, device, on_bad_image, deterministic, celeba_root),
        output=output,
        store=store,
        partial=partial,
        parameters=dict(map(_assignment, parameter or [])),
    )
    console = Console(width=None if sys.stdout.isatty() else 160)
    batch.check(asked)
    if plan:
        batch.print_plan(asked, console)
        return 0
    return 0 if batch.reproduce(asked, console, fresh=fresh, update_notebooks=update_notebooks) else 1


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"-p {text!r}: expected NAME=VALUE")
    return name, yaml.safe_load(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailedError as error:
        print(f"failed: {error}\nWhat finished is in the store; the same command goes on from there.", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own usage errors; their class moved between its versions
            raise
        print(f"error: {error.format_message()}", file=sys.stderr)
        return 2
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this code themselves
        print("interrupted: what finished is in the store; the same command goes on from there.", file=sys.stderr)
    return code
