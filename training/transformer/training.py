"""Train the transformer on what was known before a moment.

Used by stage `fit` and by the source (`training.sources.transformer`).
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Bools
from features.items.catalogue import Catalogue
from features.people.counted import OF_PEOPLE
from features.splits.windowing import Rules
from training.transformer import artefact, checkpoints, trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import Tokens, tokens_from
from training.transformer.loggers import open_logger
from training.transformer.model import Transformer
from training.transformer.scorer import Scorer
from training.transformer.tail import Rows, Tail, lazy_candidates, split_tail

#: The files of `data/split` that training reads.
INPUTS: Final = ("events.parquet", "fit_items.parquet", "windows.json", "rules.json")


@dataclass(frozen=True)
class Trained:
    """The result of a training, and the tail that it was ranked on.

    fitted: from the trainer; catalogue: the items; tokens: all events, including the tail;
    trained_tokens: number of events that the model learned from; allowed: bool [queries of the
    tail, catalogue]; checkpoints: folder of the run, which `clear` removes once the model is saved.
    """

    fitted: trainer.Fitted
    catalogue: Catalogue
    tokens: Tokens
    trained_tokens: int
    tail: Tail
    allowed: Rows[Bools]
    checkpoints: Path

    def scorer(self) -> Scorer:
        """The model of the best epoch, as `Scorer.load` reads it from the folder of stage `fit`."""
        fitted = self.fitted
        model = Transformer(fitted.config)
        model.load_state_dict(fitted.weights)
        size, known = artefact.fitted_on(fitted.vocabulary, self.catalogue.item_ids)
        return Scorer(model.eval().requires_grad_(False), fitted.vocabulary, size, known)

    def clear(self) -> None:
        """Remove the checkpoints, as there is nothing left to resume."""
        shutil.rmtree(self.checkpoints)


def train(
    split: Path, until: int, params: TransformerParams, options: RunOptions, home: Path
) -> Trained:
    """Train on the events of `data/split` that were known before `until`, µs.

    Items have their contents at the end of the fit window, whatever `until` is. An interrupted run
    resumes from its last epoch; its checkpoints are in `home`. Raises FitError if the data cannot
    train a model.
    """
    repeats = Rules.read(split / "rules.json").repeats
    catalogue = Catalogue.from_table(pq.read_table(split / "fit_items.parquet"))
    tokens, organic = read_tokens(split, until, repeats)
    kept, tail = split_tail(tokens, organic, params.tail_share, params.tail_queries)
    allowed = lazy_candidates(tail, catalogue.created_at, repeats)
    inputs = [split / name for name in INPUTS]
    own = checkpoints.folder(home, inputs, params, options, until)
    with open_logger(options.logger, home, "fit") as logger:
        fitted = trainer.fit(kept, tail, allowed, catalogue.text, params, options, own, logger)
    return Trained(fitted, catalogue, tokens, len(kept), tail, allowed, own)


def read_tokens(split: Path, until: int, repeats: bool) -> tuple[Tokens, Bools]:
    """The events of people known before `until`, µs, and which of them are organic, bool [events].

    Accounts that are set aside are left out. Capped events are read and are no targets.
    """
    events = pq.read_table(
        split / "events.parquet",
        columns=["user", "item", "event_type", "timestamp", "organic", "capped"],
        filters=(pc.field("timestamp") < until) & (pc.field("received_at") < until) & OF_PEOPLE,
    )
    user, item, event_type, timestamp, organic, capped = (
        column.to_numpy() for column in events.columns
    )
    tokens = tokens_from(user, item, event_type, timestamp, repeats)
    return replace(tokens, wanted=tokens.wanted & ~capped), organic
