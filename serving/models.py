"""The types of the HTTP interface: what each endpoint takes and returns, with limits."""

from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from features.ingest.list_fields import categories as listed
from features.ingest.refusals import FIRST_MOMENT, LAST_MOMENT, LONGEST_TEXT, id_refusal
from features.ingest.times import microseconds
from features.ingest.values import flag, identity, number, text
from features.schema import EventType
from serving.tables import ID_LENGTH

MAX_SLATE: Final = 100
MAX_BATCH: Final = 1_000
MAX_HISTORY: Final = 1_000
MAX_CATEGORIES: Final = 1_000


def _id(value: Any) -> Any:
    """Read an id as ingestion does: a number becomes its digits, and a blank text becomes None."""
    readable = isinstance(value, str | int | float) and not isinstance(value, bool)
    return identity(value) or "" if readable else value


def _allowed(value: str) -> str:
    reason = id_refusal(value)
    if reason is not None:
        raise ValueError(reason)
    return value


def _known(value: Any) -> Any:
    return None if value == "" else value


Id = Annotated[
    str, BeforeValidator(_id), Field(min_length=1, max_length=ID_LENGTH), AfterValidator(_allowed)
]
#: The prefix of event ids of impressions. Events of clients must not use it.
IMPRESSION: Final = "impression:"
Words = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]
Text = Annotated[Words | None, BeforeValidator(text)]
Microseconds = Annotated[int, Field(ge=0, le=LAST_MOMENT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
#: How a client may write a time (see `features.ingest.times`).
TIME_SCHEMA: Final = {
    "anyOf": [{"type": "number"}, {"type": "string"}],
    "description": "s, ms, µs or ns since 1970, by size, or ISO 8601 (UTC without a zone)",
}
#: A time sent by a client, as µs.
Moment = Annotated[Microseconds, BeforeValidator(microseconds), WithJsonSchema(TIME_SCHEMA)]
#: The creation time of an item, which may be long ago.
Creation = Annotated[
    Annotated[int, Field(ge=FIRST_MOMENT, le=LAST_MOMENT), BeforeValidator(microseconds)] | None,
    BeforeValidator(_known),
    WithJsonSchema(TIME_SCHEMA),
]


class Input(BaseModel):
    """A request body. An unknown key is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HistoryEntry(Input):
    """An event that the user just caused and that was not sent as feedback yet."""

    item_id: Id
    event_type: EventType = EventType.VIEW
    timestamp: Moment


class RecommendInput(Input):
    """A request for a slate."""

    user_id: Id
    placement: Id = "home"
    k: int = Field(10, ge=1, le=MAX_SLATE, description="Number of slots")
    history: list[HistoryEntry] = Field(default=[], max_length=MAX_HISTORY)
    exclude: list[Id] = Field(
        default=[], max_length=MAX_BATCH, description="Items that must not be shown"
    )
    request_id: Annotated[str, Field(max_length=100)] | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_:-]+$",
        description="Idempotency key: the same key gives the same slate again",
    )


class Item(BaseModel):
    """One slot of a slate."""

    item_id: str
    position: int
    propensity: float = Field(description="Of this slot, given the slots above it")
    score: float | None = Field(description="Of the ranker; null for an item that was explored")
    reasons: list[str] = Field(description="Sources that found it, or `exploration`")


class RecommendOutput(BaseModel):
    """A slate, and what served it."""

    request_id: str = Field(description="Signed; send it with the outcomes of this slate")
    release: str | None
    generation: int | None
    source: str
    fallback: str | None = Field(description="Why a simpler method answered; normally null")
    arm: str | None = Field(
        default=None, description="While a canary runs: `champion` or `canary`, by user"
    )
    repeat: bool = Field(
        default=False,
        description="Whether this is the slate of an earlier request, named by `request_id`",
    )
    items: list[Item]


class FeedbackEvent(BaseModel):
    """One outcome. Position, propensity and release come from our log, never from the client.

    `serving.feedback` has already read times and checked the log's rules. These are the additional
    rules of the service.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    event_id: Id
    user_id: Id
    item_id: Id | None = None
    event_type: EventType
    value: Number | None = None
    query: Text = None
    timestamp: Annotated[Microseconds | None, WithJsonSchema(TIME_SCHEMA)] = None
    placement: Id | None = None
    request_id: Annotated[str, Field(max_length=300)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "FeedbackEvent":
        if self.event_type is EventType.IMPRESSION:
            raise ValueError("impressions are logged by the service, not sent")
        if self.event_id.startswith(IMPRESSION):
            raise ValueError(f"event ids that begin with '{IMPRESSION}' are reserved")
        return self


def _event_schema() -> dict[str, Any]:
    """The schema of FeedbackEvent without references, which would not work inside another
    schema."""
    schema = FeedbackEvent.model_json_schema()
    schema["properties"]["event_type"] = schema.pop("$defs")["EventType"]
    return schema


class FeedbackInput(Input):
    """A batch of outcomes. Each is checked by itself: invalid ones are set aside, others stored."""

    events: list[Any] = Field(
        max_length=MAX_BATCH,
        json_schema_extra={"items": _event_schema()},
    )


class Rejected(BaseModel):
    """An event that was set aside, with the reason."""

    event_id: str | None
    reason: str


class FeedbackOutput(BaseModel):
    """Counts of events. All of them are durable: stored, already there, or kept as dead letters."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class CatalogueItem(Input):
    """A complete version of an item, not just a change."""

    item_id: Id
    title: Text = None
    description: Text = None
    categories: Annotated[list[Words] | None, BeforeValidator(listed)] = Field(
        default=None, max_length=MAX_CATEGORIES
    )
    price: Annotated[Number | None, BeforeValidator(number)] = None
    available: Annotated[bool | None, BeforeValidator(flag)] = True
    created_at: Creation = None
    image: Text = None
    audio: Text = None
    attributes: Text = None


class CatalogueInput(Input):
    """New items and new versions of items."""

    items: list[CatalogueItem] = Field(max_length=MAX_BATCH)


class CatalogueOutput(BaseModel):
    """The number of versions that differed from the last known one."""

    changed: int


class SimilarInput(Input):
    """A request for the items nearest to one item."""

    item_id: Id
    k: int = Field(10, ge=1, le=MAX_SLATE)


class SimilarItem(BaseModel):
    item_id: str
    similarity: float = Field(description="Cosine")


class SimilarOutput(BaseModel):
    """The nearest items, nearest first."""

    release: str | None
    source: str
    items: list[SimilarItem]


class HistoryInput(Input):
    """A request for a user's history as the service knows it."""

    user_id: Id


class HistoryEvent(BaseModel):
    """An event of a user."""

    item_id: str
    event_type: EventType
    timestamp: int = Field(description="µs since 1970")


class HistoryOutput(BaseModel):
    """Positive events, oldest first, and hidden items."""

    user_id: str
    events: list[HistoryEvent]
    hidden: list[str]


class StatusInput(Input):
    """No arguments."""


class StatusOutput(BaseModel):
    """What this worker serves now."""

    release: str | None
    generation: int | None
    items: int
    catalogue_sequence: int
    features_at: int = Field(description="Snapshot of the item features in memory, µs; 0: none")
    canary: str | None = Field(default=None, description="Release that is served beside it")
    shadow: str | None = Field(default=None, description="Release that is scored and not shown")


class Problem(BaseModel):
    """The body of every answer that is not 2xx."""

    error: str
