"""What tables and figures call things."""

from __future__ import annotations

SERIES = {
    "multi_al_safe": "Multi-AL (entropy + Safe)",
    "multi_al": "entropy, no Safe",
    "random": "random",
    "random_safe": "random + Safe",
    "cbim": "CBIM",
}
MAP, WITHOUT = "mAP", "mAP without person"
SCALE = (
    "On the embedded set 500 of about 1,870 pool images are relabelled, in the paper 500 of 23,497: mAP levels, and "
    "gains over ASL on the whole pool, are not commensurable."
)
