"""The one number of simulated COCO: the scale of its noise at which plain ASL, on clean labels, scores as wanted.

    python scripts/calibrate_simulated.py 45 60 74.91 [--store results/calibration] [--between 0.5 3] [--tolerance 0.3]

The reference is paper 4's own run: all 65,268 images, its protocol and its last model, tested on simulated images that
no training saw. Wanted scores and the tolerance are points of mAP. Of the features nothing else is fitted to a
published number. What was found stands in the papers' profiles.yaml; qualities of the ladders are these scores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nlcore.data.simulated import calibrate_scale
from nlcore.errors import InputError
from nlcore.papers import paper
from nlcore.papers.galc_slr.runs import GoldClassifier
from nlcore.runs import Store, run_grid

SEED = 0


def main() -> None:
    """Look for each wanted score, and print every score that was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", type=float, nargs="+")
    parser.add_argument("--store", type=Path, default=Path("results/calibration"))
    parser.add_argument("--between", type=float, nargs=2, default=(0.5, 3.0))
    parser.add_argument("--tolerance", type=float, default=0.3)
    options = parser.parse_args()
    low, high = options.between
    try:
        calibrate(options, low, high)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def calibrate(options: argparse.Namespace, low: float, high: float) -> None:
    """Print a scale for each wanted score."""
    clean_score = measured(Store(options.store))
    for wanted in options.wanted:
        scale = calibrate_scale(clean_score, wanted, low=low, high=high, tolerance=options.tolerance)
        print(f"mAP {wanted:g}: scale {scale:g}", flush=True)


def measured(store: Store):
    """scale -> mAP in percent, of runs that are kept in the store."""
    reference = next(
        spec
        for spec in paper("galc_slr").grid("simulated", seeds=[SEED]).main
        if isinstance(spec, GoldClassifier) and (spec.method, spec.noise) == ("asl", 0.0)
    )

    def clean_score(scale: float) -> float:
        spec = reference.model_copy(update={"source": reference.source.model_copy(update={"scale": scale})})
        run_grid([spec], store, workers=0)
        found = 100 * store.result(spec).values["map"]
        print(f"scale {scale:g}: mAP {found:.2f}", flush=True)
        return found

    return clean_score


if __name__ == "__main__":
    main()
