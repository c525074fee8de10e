"""The 58 attributes of MGPHot for each track: asked of a language model as 0..5, kept as shares 0..1.

What the audio says for itself (tempo, tonality, meter) stands before what a language model believes. The published
practice asked some categories for 0..1 and divided by five nevertheless; here the scale is one, held by the answer's
schema, kept beside each rating, and divided by in `shares` alone.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from assets.content.mgphot_attributes import ATTRIBUTES, CATEGORIES, COLUMNS, SCALE, Attribute, Category, in_category
from assets.content.tables import MGPHOT, MGPHOT_RATINGS
from assets.sources.identity import bucket_of
from resources.language_model import Answer, LanguageModel, Refused, Request
from resources.prompt_files import checked_prompt
from resources.refusals import Refusal, refused_frame

TASK = "mgphot"
PROMPT = "content/mgphot-1"
SOURCE = "content/mgphot_ratings"
DRAWS = 100_000  # places that the second readings are drawn from: shares are told apart to a thousandth of a percent
SLOW_BPM = 50.0  # rated 0 (our choice); each doubling is half the way, so 100 is the middle and 200 the end
TEMPO_OCTAVES = 2.0
OCTAVE = 1 / TEMPO_OCTAVES  # of a tempo, as a share

Asked = Literal["category", "all"]
Rating = Annotated[int | None, Field(ge=0, le=SCALE)]


class RatedAttributes(BaseModel):
    """An answer: a whole number 0..5 or null for each attribute asked, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Order(NamedTuple):
    """One request, whose track and reading it is, and the category that it asks for, or `all`."""

    track_id: str
    reading: int
    category: str
    request: Request


class Ratings(NamedTuple):
    """Rows of content/mgphot_ratings, and a refused row for each request without an answer."""

    ratings: pl.DataFrame
    refused: pl.DataFrame


def mgphot_orders(payloads: dict[str, dict[str, JsonValue]], *, asked: Asked, doubles: float) -> list[Order]:
    """What to ask of the tracks of `payloads` (assets.content.track_facts), category by category.

    A share `doubles` of the tracks, by a hash of their ids, is read twice, the second time in reverse: the same
    question in other words, which no kept reply answers.
    """
    twice = {track_id for track_id in payloads if bucket_of(f"{TASK} {track_id}", DRAWS) < doubles * DRAWS}
    return [
        Order(track_id, reading, category, _request(payload, attributes[::step], reading))
        for category, attributes in _asked_sets(asked)
        for reading, step in ((1, 1), (2, -1))
        for track_id, payload in payloads.items()
        if reading == 1 or track_id in twice
    ]


def mgphot_ratings(orders: Sequence[Order], model: LanguageModel, *, part: str) -> Ratings:
    """What the language model answered to the orders; a category that it failed leaves the track's others.

    Reasons: the language model's. Raises ValueError when it does not give one result for each request.
    """
    rows: list[tuple[str, str, int, int | None, int, str]] = []
    refusals: list[Refusal] = []
    results = model.answer([order.request for order in orders], part=part)
    for order, result in zip(orders, results, strict=True):
        if isinstance(result, Refused):
            location = f"{order.track_id} {order.category} {order.reading}"
            refusals.append(Refusal(SOURCE, location, result.reason, result.detail))
        else:
            rows += _rows(order, result, model.name)
    frame = pl.DataFrame(rows, schema=MGPHOT_RATINGS.empty().schema, orient="row")
    return Ratings(frame.sort(MGPHOT_RATINGS.key), refused_frame(refusals))


def mgphot(ratings: pl.DataFrame, rhythm: pl.DataFrame, *, min_key_strength: float) -> pl.DataFrame:
    """Rows of content/mgphot for the tracks of content/rhythm: measured where the audio says it, else the first rating.

    ratings is content/mgphot_ratings. A tempo of b beats a minute is log2(b / 50) / 2, within 0 and 1; what is measured
    may be twice or half the felt one, so b is halved or doubled where that brings the share nearer to the rating's
    (our choice).
    """
    heard = rhythm.select("track_id", **_measured(min_key_strength))
    measures = [name for name in COLUMNS if name in heard.columns]
    return (
        heard.rename({name: f"{name}_measured" for name in measures})
        .join(shares(ratings), on="track_id", how="left")
        .with_columns(tempo_measured=_felt(pl.col("tempo_measured"), pl.col("tempo")))
        .with_columns(pl.coalesce(f"{name}_measured", name).alias(name) for name in measures)
        .with_columns(
            measured=pl.concat_list(
                pl.when(pl.col(f"{name}_measured").is_not_null()).then(pl.lit(name)) for name in measures
            ).list.drop_nulls(),
            known=pl.sum_horizontal(pl.col(name).is_not_null() for name in COLUMNS),
        )
        .with_columns(
            status=pl.when(pl.col("known") == len(COLUMNS))
            .then(pl.lit("tagged"))
            .when(pl.col("known") > 0)
            .then(pl.lit("partial"))
            .otherwise(pl.lit("absent"))
        )
        .select(MGPHOT.empty().columns)
        .sort("track_id")
    )


def shares(ratings: pl.DataFrame, *, reading: int = 1) -> pl.DataFrame:
    """(track_id, 58 attributes as float32 shares 0..1): the ratings of one reading over their scale.

    The one place where a rating is divided.
    """
    share = (pl.col("rating") / pl.col("scale")).cast(pl.Float32)
    return (
        ratings.filter(pl.col("reading") == reading)
        .group_by("track_id")
        .agg(share.filter(pl.col("attribute") == name).first().alias(name) for name in COLUMNS)
        .sort("track_id")
    )


def mean_ratings(ratings: pl.DataFrame) -> str:
    """A Markdown table of the first readings by category: ratings, their mean, and the share not known."""
    categories = pl.DataFrame({"attribute": COLUMNS, "category": [attribute.category for attribute in ATTRIBUTES]})
    found = (
        ratings.filter(pl.col("reading") == 1)
        .join(categories, on="attribute")
        .group_by("category")
        .agg(mean=pl.col("rating").mean(), unknown=pl.col("rating").is_null().mean(), asked=pl.len())
    )
    by_category = {row["category"]: row for row in found.iter_rows(named=True)}
    lines = [f"| category | ratings asked | mean 0-{SCALE} | not known |", "|---|---|---|---|"]
    for row in (by_category[category] for category in CATEGORIES if category in by_category):
        mean = "" if row["mean"] is None else f"{row['mean']:.2f}"
        lines.append(f"| {row['category']} | {row['asked']} | {mean} | {row['unknown']:.0%} |")
    return "\n".join(lines)


def _asked_sets(asked: Asked) -> Iterator[tuple[Category | Literal["all"], tuple[Attribute, ...]]]:
    if asked == "all":
        yield "all", ATTRIBUTES
    else:
        yield from ((category, in_category(category)) for category in CATEGORIES)


def _request(payload: dict[str, JsonValue], attributes: tuple[Attribute, ...], reading: int) -> Request:
    asking = _asking(attributes)
    track = {name: value for name, value in payload.items() if name != "track_id"}
    wanted: list[JsonValue] = [attribute.column for attribute in attributes]
    return Request(
        TASK,
        asking.version,
        asking.instructions,
        {"track": track, "attributes": wanted, "reading": reading},
        asking.response_model,
    )


class _Asking(NamedTuple):
    """What all requests for one set of attributes share."""

    version: str
    instructions: str
    response_model: type[BaseModel]


@cache
def _asking(attributes: tuple[Attribute, ...]) -> _Asking:
    """The prompt followed by the attributes' lines, and the model of the answer, made from one list.

    The prompt's file declares all 58, of which an answer has those asked for.
    """
    prompt = checked_prompt(PROMPT, _response_model(ATTRIBUTES))
    lines = "".join(f"{attribute.line}\n" for attribute in attributes)
    return _Asking(prompt.version, prompt.instructions + lines, _response_model(attributes))


@cache
def _response_model(attributes: tuple[Attribute, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {attribute.column: (Rating, ...) for attribute in attributes}
    return create_model("Rated", __base__=RatedAttributes, **fields)


def _rows(order: Order, answer: Answer, origin: str) -> Iterator[tuple[str, str, int, int | None, int, str]]:
    for attribute, rating in answer.value.model_dump().items():
        yield order.track_id, attribute, order.reading, rating, SCALE, origin


def _measured(min_key_strength: float) -> dict[str, pl.Expr]:
    """What content/rhythm says of an attribute, as float32 shares 0..1, tempo beyond; null where it says nothing."""
    tempo = (pl.col("tempo_bpm") / SLOW_BPM).log(2) / TEMPO_OCTAVES
    is_sure = pl.col("key_strength") >= min_key_strength
    tonality = pl.when(is_sure).then(pl.col("key").str.ends_with(" major").cast(pl.Float32))
    found = {"minor_major_key_tonality": tonality, "tempo": tempo, "triple_meter": pl.col("triple_strength")}
    return {name: value.cast(pl.Float32) for name, value in found.items()}


def _felt(measured: pl.Expr, rated: pl.Expr) -> pl.Expr:
    """The measured share of a tempo in the octave that is nearest to the rated share, ties and nulls as measured."""
    near = (measured - rated).abs()
    slow, fast = ((measured + step - rated).abs() for step in (-OCTAVE, OCTAVE))
    felt = (
        pl.when((slow < near) & (slow <= fast))
        .then(measured - OCTAVE)
        .when(fast < near)
        .then(measured + OCTAVE)
        .otherwise(measured)
    )
    return felt.clip(0, 1)
