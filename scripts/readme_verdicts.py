"""Write the table of verdicts in README.md anew, from the files in figures/: between its two marks.

python scripts/readme_verdicts.py
"""

from __future__ import annotations

from pathlib import Path

from nlcore.errors import InputError
from nlcore.files import write_atomically
from nlcore.papers import papers
from nlcore.places import home
from nlcore.report.verdict_file import NAME, Decided, read_verdicts
from nlcore.report.verdicts import Verdict

BEGIN, END = "<!-- verdicts: python scripts/readme_verdicts.py -->", "<!-- end of verdicts -->"
PROFILES = ("embedded", "simulated", "paper")


def table(figures: Path) -> str:
    """One row per paper and profile, one column per word, as Markdown; variants of an algorithm are left out."""
    rows = [["", "evidence", *Verdict], ["---"] * (2 + len(Verdict))]
    for one in papers().values():
        for profile in PROFILES:
            path = figures / one.id / profile / NAME
            if path.is_file():
                rows.append([f"`{one.id}`, {profile}", *_row(read_verdicts(path))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(claims: list[Decided]) -> list[str]:
    """On what the claims stand, and the ids by word."""
    own = [claim for claim in claims if " " not in claim.id]
    evidence = ", ".join(dict.fromkeys(claim.evidence for claim in own))
    return [evidence, *(", ".join(claim.id for claim in own if claim.verdict == word) or "–" for word in Verdict)]


def rendered(text: str, figures: Path) -> str:
    """A README with its table made anew.

    Raises:
        InputError: the marks are not in it.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"README.md: marks of the table of verdicts; expected {BEGIN!r} and {END!r}, each once")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table(figures)}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    readme = home() / "README.md"
    write_atomically(readme, rendered(readme.read_text(encoding="utf-8"), home() / "figures"))
