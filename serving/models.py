"""The HTTP types: what each endpoint takes and answers, with limits."""

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
    """A number is its digits; blanks around a text are none: as ingestion reads ids."""
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
#: How ids of impressions begin; a client's event must not take one.
IMPRESSION: Final = "impression:"
Words = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]
Text = Annotated[Words | None, BeforeValidator(text)]
Microseconds = Annotated[int, Field(ge=0, le=LAST_MOMENT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
#: How a time may be written by a client (`features.ingest.times`).
TIME_SCHEMA: Final = {
    "anyOf": [{"type": "number"}, {"type": "string"}],
    "description": "s, ms, µs or ns since 1970, by magnitude, or ISO 8601 (UTC without a zone)",
}
#: A time that a client wrote, as µs.
Moment = Annotated[Microseconds, BeforeValidator(microseconds), WithJsonSchema(TIME_SCHEMA)]
#: When something came into the world, which may be long ago.
Creation = Annotated[
    Annotated[int, Field(ge=FIRST_MOMENT, le=LAST_MOMENT), BeforeValidator(microseconds)] | None,
    BeforeValidator(_known),
    WithJsonSchema(TIME_SCHEMA),
]


class Input(BaseModel):
    """A request body: an unknown key is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HistoryEntry(Input):
    """Something the user just did, not yet sent as feedback."""

    item_id: Id
    event_type: EventType = EventType.VIEW
    timestamp: Moment


class RecommendInput(Input):
    """Ask for a slate."""

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
        description="Idempotency key: once logged, it gives the same slate again",
    )


class Item(BaseModel):
    """One slot of a slate."""

    item_id: str
    position: int
    propensity: float = Field(description="Of this slot, given the slots above it")
    score: float | None = Field(description="Of the ranker; null for an item that was explored")
    reasons: list[str] = Field(description="Sources that found it, or `exploration`")


class RecommendOutput(BaseModel):
    """A slate and what served it."""

    request_id: str = Field(description="Signed; send it with the outcomes of this slate")
    release: str | None
    generation: int | None
    source: str
    fallback: str | None = Field(description="Why something smaller answered; null normally")
    repeat: bool = Field(
        default=False,
        description="The slate of an earlier request, which `request_id` names; not logged again",
    )
    items: list[Item]


class FeedbackEvent(BaseModel):
    """One outcome. Position, propensity and release come from our log, never from the client.

    `serving.feedback` reads times and judges by the log's own rules before; here is what the
    service asks for beyond them.
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
            raise ValueError(f"an event_id that begins with '{IMPRESSION}' is the service's own")
        return self


def _event_schema() -> dict[str, Any]:
    """Of FeedbackEvent, self-contained: references do not survive inside another schema."""
    schema = FeedbackEvent.model_json_schema()
    schema["properties"]["event_type"] = schema.pop("$defs")["EventType"]
    return schema


class FeedbackInput(Input):
    """Outcomes. Each is checked on its own: a bad one is set aside, the others are stored."""

    events: list[Any] = Field(
        max_length=MAX_BATCH,
        json_schema_extra={"items": _event_schema()},
    )


class Rejected(BaseModel):
    """An event that was set aside, and why."""

    event_id: str | None
    reason: str


class FeedbackOutput(BaseModel):
    """Everything counted here is durable: stored, already there, or kept as a dead letter."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class CatalogueItem(Input):
    """A version of an item: the whole of it, not a change."""

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
    """How many versions differed from the last one known."""

    changed: int


class SimilarInput(Input):
    """Ask for the items nearest to one."""

    item_id: Id
    k: int = Field(10, ge=1, le=MAX_SLATE)


class SimilarItem(BaseModel):
    item_id: str
    similarity: float = Field(description="Cosine")


class SimilarOutput(BaseModel):
    """Nearest first."""

    release: str | None
    source: str
    items: list[SimilarItem]


class HistoryInput(Input):
    """Ask what the service knows that a user did."""

    user_id: Id


class HistoryEvent(BaseModel):
    """Something that a user did."""

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
    """What is served right now by this worker."""

    release: str | None
    generation: int | None
    items: int
    catalogue_sequence: int
    features_at: int = Field(description="Snapshot of the item features in memory, µs; 0: none")


class Problem(BaseModel):
    """Every answer that is not 2xx."""

    error: str
