"""How artefacts say numbers and names."""

from __future__ import annotations


def percent(fraction: float) -> str:
    """A fraction in percent, without the sign.

    >>> percent(0.4)
    '40'
    """
    return f"{100 * fraction:.0f}"


def title(id: str) -> str:
    """What an artefact of the contract is called in a caption.

    >>> title("fig_7"), title("table_s2")
    ('Figure 7.', 'Table S2.')
    """
    kind, number = id.split("_")
    return f"{'Table' if kind == 'table' else 'Figure'} {number.upper()}."
