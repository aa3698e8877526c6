"""Save and load the trained model as `model.safetensors` and `config.json`, without pickle."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from base.arrays import Objects
from base.errors import InputError
from features.items.identity import digest
from training.transformer.model import ModelConfig, Transformer

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
VOCABULARY = "vocabulary"


def save(
    folder: Path,
    config: ModelConfig,
    weights: dict[str, Tensor],
    vocabulary: Tensor,
    item_ids: Objects,
) -> None:
    """Write the model.

    vocabulary: int32 [items with an id], catalogue index of each; item_ids: the catalogue it was
    fitted on.
    """
    write(folder, config, weights, vocabulary, *fitted_on(vocabulary, item_ids))


def fitted_on(vocabulary: Tensor, item_ids: Objects) -> tuple[int, str]:
    """Size and digest of the part of the catalogue `item_ids` that `vocabulary` reaches."""
    known = item_ids[: int(vocabulary.max()) + 1]
    return len(known), digest(known)


def write(
    folder: Path,
    config: ModelConfig,
    weights: dict[str, Tensor],
    vocabulary: Tensor,
    catalogue_size: int,
    catalogue_hash: str,
) -> None:
    """Write the model in the form that `load` reads."""
    tensors = {name: tensor.contiguous() for name, tensor in sorted(weights.items())}
    save_file({**tensors, VOCABULARY: vocabulary}, folder / WEIGHTS)
    prefix = {"catalogue_size": catalogue_size, "catalogue_hash": catalogue_hash}
    (folder / CONFIG).write_text(json.dumps({**asdict(config), **prefix}, indent=2) + "\n")


def load(folder: Path) -> tuple[Transformer, Tensor, int, str]:
    """Return (model in evaluation mode, vocabulary, catalogue size, catalogue hash).

    Raises InputError for settings that this program does not know, as written by a later version.
    """
    content = json.loads((folder / CONFIG).read_text())
    size, known = content.pop("catalogue_size"), content.pop("catalogue_hash")
    tensors = load_file(folder / WEIGHTS)
    vocabulary = tensors.pop(VOCABULARY)
    content.setdefault("event_types", len(tensors["event_types.weight"]))  # older files lack it
    try:
        config = ModelConfig(**content)
    except TypeError as error:
        raise InputError(f"{folder / CONFIG} is of another version of Rondo: {error}") from None
    model = Transformer(config)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False), vocabulary, size, known
