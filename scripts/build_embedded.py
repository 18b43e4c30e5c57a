"""Rebuild the embedded set from any COCO-format folder and any timm backbone.

    python scripts/build_embedded.py --coco-root shared/data/coco_real --weights mobilenetv2.safetensors --output out

The folder holds annotations/instances.json and images/, or say where they are. Without --weights timm fetches its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from nlcore.data.embedded_build import build_embedded, file_hash, make_encoder
from nlcore.errors import InputError

SAME_PADDING = "pad_type=same"  # the default weights come from TensorFlow


def main(
    coco_root: Annotated[Path, typer.Option(help="folder with annotations/ and images/")],
    output: Annotated[Path, typer.Option(help="folder to write to")],
    weights: Annotated[Path | None, typer.Option(help="safetensors file")] = None,
    model: Annotated[str, typer.Option(help="any timm backbone")] = "mobilenetv2_100",
    model_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for timm.create_model")] = None,
    annotations: Annotated[str, typer.Option(help="below --coco-root")] = "annotations/instances.json",
    images: Annotated[str, typer.Option(help="below --coco-root")] = "images",
) -> None:
    """Write arrays.npz, images.csv, about.json and thumbnails/ to --output."""
    if model_option is None:
        model_option = [SAME_PADDING] if model == "mobilenetv2_100" and weights else []
    options = dict(option.split("=", 1) for option in model_option)
    torch.set_num_threads(1)  # more would add in another order, and the bytes would depend on the machine's cores
    description = {"model": model, "model_options": options}
    try:
        encoder = make_encoder(model, weights=weights, options=options)
        if weights:
            description |= {"weights": weights.name, "weights_sha256": file_hash(weights)}
        build_embedded(coco_root / annotations, coco_root / images, output, encoder=encoder, description=description)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
