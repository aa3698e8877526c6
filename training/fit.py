"""Stage `fit`: train the transformer on the fit window.

Reads `events.parquet`, `fit_items.parquet`, `windows.json` and `rules.json` of the split. Writes
`model.safetensors`, `config.json`, and metrics on the newest part (tail) of the window.

    python -m training.fit data/split data/transformer data/metrics/fit.json

Uses one process on the CPU by default. Set `RONDO_TRAIN_DEVICES=2 RONDO_TRAIN_STRATEGY=ddp` for
two; see `training/transformer/config.py` for more. A killed run resumes from its last epoch.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path

import numpy as np

from base.outputs import replace_folder
from base.params import load
from base.settings import Settings
from base.stage import follow_parent
from features.splits.windows import Windows
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.scorer import Scorer
from training.transformer.tail import Lazy, new_item_shares, popularity, tail_ndcg
from training.transformer.training import Trained, train


def evaluate(folder: Path, trained: Trained) -> dict[str, float]:
    """Metrics on the tail, computed with the model in `folder` as it will be served."""
    catalogue, tail, allowed = trained.catalogue, trained.tail, trained.allowed
    scorer = Scorer.load(folder)
    attached = scorer.attach(catalogue)
    states, items = attached.encode(tail.histories, tail.timestamps), attached.items.T
    scores = Lazy(lambda rows: states[rows] @ items)
    new = np.ones(len(catalogue), dtype=bool)
    new[scorer.vocabulary.numpy()] = False
    predicted, actual = new_item_shares(scores, tail, allowed, new)
    return {
        "ndcg@10": tail_ndcg(scores, tail, allowed),
        "popularity_ndcg@10": popularity(trained.tokens, tail, len(catalogue), allowed),
        "new_item_predicted": predicted,
        "new_item_actual": actual,
    }


def fit(
    split: Path,
    out: Path,
    metrics_path: Path,
    params: TransformerParams,
    options: RunOptions,
    settings: Settings,
) -> None:
    """Train on `split`, write the model to the folder `out` and the metrics to a JSON file.

    Raises FitError, and writes nothing, if the data cannot train a model.
    """
    began = time.perf_counter()
    until = Windows.read(split / "windows.json").fit_end
    trained = train(split, until, params, options, settings.root)
    fitted, tokens = trained.fitted, trained.trained_tokens
    if not fitted.is_first:
        return
    seconds = time.perf_counter() - began
    with replace_folder(out) as folder:
        trained.scorer().save(folder)
        metrics = evaluate(folder, trained)
    counts = {
        "epochs": len(fitted.ndcg),
        "best_epoch": fitted.best + 1,
        "tokens": tokens,
        "items": fitted.config.vocabulary,
        "parameters": fitted.parameters,
    }
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    curves = {"epoch_loss": fitted.losses, "epoch_ndcg@10": fitted.ndcg}
    # Record the options: a later retrain may reuse this fit although its own options differ.
    computed = {"options": options.model_dump(mode="json", exclude={"logger"})}
    content = {**metrics, **counts, **curves, "recipe": fitted.recipe.derived, **computed}
    metrics_path.write_text(json.dumps(content, indent=2) + "\n")
    trained.clear()
    print(
        f"fit: ndcg@10 {metrics['ndcg@10']:.4f} on the tail, recency-popularity "
        f"{metrics['popularity_ndcg@10']:.4f}; {len(fitted.ndcg)} epochs of {tokens} events, "
        f"{seconds:.1f} s, {tokens * len(fitted.ndcg) / seconds:.0f} events/s"
    )


def main() -> None:
    if os.environ.get("LOCAL_RANK", "0") != "0":
        # With one process per device, Lightning starts this module again without `base.stage`.
        follow_parent()
    split, out, metrics_path = (Path(argument) for argument in sys.argv[1:4])
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("rondo.fit").setLevel(logging.INFO)
    params = load(TransformerParams, "fit")
    fit(split, out, metrics_path, params, RunOptions(), Settings())


if __name__ == "__main__":
    main()
