"""The list of all candidate sources.

Their order defines the bits in `Candidates.sources`, so only append to it.
"""

from typing import Final

from training.sources.als import Als
from training.sources.content import Content
from training.sources.fresh import Fresh
from training.sources.neighbours import Neighbours
from training.sources.popularity import Popularity
from training.sources.source import Source
from training.sources.transformer import TransformerSource

SOURCES: Final[tuple[type[Source], ...]] = (
    TransformerSource,
    Neighbours,
    Content,
    Popularity,
    Fresh,
    Als,
)
