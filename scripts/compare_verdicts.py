"""Verdicts before and after a change, side by side, with the reason: docs/verdicts.md.

    python scripts/compare_verdicts.py REVISION > docs/verdicts.md

REVISION: of Git, whose figures/ are held against those of the working tree.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from nlcore.papers import papers
from nlcore.places import home
from nlcore.report.contract import Claim
from nlcore.report.verdict_file import NAME, Decided, read_verdicts

HEAD = """# Verdicts, before and after

Every claim whose verdict was decided at `{revision}` and now: the word, in brackets on what it stands, how many of its
parts hold, and why the word is another one. Made by `python scripts/compare_verdicts.py {revision}`. What the words
mean: [nlcore/report/verdicts.py](../nlcore/report/verdicts.py). Corrections of the contract, with their dates:
`nlcore/papers/<paper>/contract/claims.yaml`. Folders whose runs are older than the claims were decided anew from the
numbers by seed in their CSVs (a part that those do not hold, from its interval).
"""


def main(revision: Annotated[str, typer.Argument(help="of Git, with figures/ in it")]) -> None:
    """Print the page."""
    print(HEAD.format(revision=revision))
    for one in papers().values():
        claims = one.contract.claims()
        kept = (home() / "figures" / one.id).glob(f"*/{NAME}")
        for path in sorted(path for path in kept if "." not in path.parent.name):  # a profile's own folders
            before = _before(revision, f"figures/{one.id}/{path.parent.name}/{NAME}")
            print(f"## {one.id}, {path.parent.name}\n\n| claim | before | now | parts that hold | decided by | why |\n"
                  "|---|---|---|---|---|---|")  # fmt: skip
            for row in _rows(read_verdicts(path), before, claims):
                print(f"| {' | '.join(row)} |")
            print()


def _before(revision: str, path: str) -> dict[str, str]:
    """Claim -> its word at a revision, of either edition of the file; nothing where there was none."""
    done = subprocess.run(["git", "-C", str(home()), "show", f"{revision}:{path}"], capture_output=True, text=True)
    found: Any = json.loads(done.stdout) if done.returncode == 0 else []
    rows = found["claims"] if isinstance(found, dict) else found
    return {row["id"]: f"{row['verdict']} ({row.get('evidence', 'unstated')})" for row in rows}


def _rows(now: list[Decided], before: dict[str, str], claims: dict[str, Claim]) -> Iterator[list[str]]:
    for one in now:
        word, was = f"{one.verdict} ({one.evidence})", before.get(one.id, "–")
        said = f"{one.speaking.name}: {one.speaking.shown}" if one.speaking.shown else one.speaking.name
        yield [one.id, was, word, one.share, said, _why(was, one, claims[one.id.split()[0]])]


def _why(was: str, one: Decided, claim: Claim) -> str:
    """The contract's corrections of the claim, and where the word is another one, the reason of the deciding part."""
    reasons = [correction["why"].rstrip(".") for correction in claim.corrected]
    if was != "–" and was.split(" (")[0] != one.verdict:
        reasons.append(one.speaking.reason)
    return "; ".join(reasons)


if __name__ == "__main__":
    typer.run(main)
