"""The texts that rivals compare: one of each track (TalkPlay, appendix A.4), one of each case's chat or query."""

from collections.abc import Sequence

import polars as pl

from assets.evaluation.turn_cases import NO_TRACK, Prompt


def documents(catalog: pl.DataFrame) -> list[str]:
    """Of each row "{Title} by {Artist} from {Album} {Semantic tags} {Year}"; what is null or empty is left out.

    `catalog` has `title`, `artist`, `album`, `tags` and `release_year`.
    """
    said = (
        _said("", pl.col("title")),
        _said("by ", pl.col("artist")),
        _said("from ", pl.col("album")),
        _said("", pl.col("tags").list.join(", ")),
        _said("", pl.col("release_year").cast(pl.String)),
    )
    return catalog.select(text=pl.concat_str(said, separator=" ", ignore_nulls=True))["text"].to_list()


def chat_texts(prompts: Sequence[Prompt], titles: Sequence[str]) -> list[str]:
    """The whole chat so far of each case: queries, the titles of recommended tracks, responses.

    Newest turn first: an encoder that cuts long texts forgets the oldest ones (our choice; "aggregate" in the paper).
    """
    return ["\n".join([prompt.query, *_past(prompt, titles)]) for prompt in prompts]


def last_queries(prompts: Sequence[Prompt]) -> list[str]:
    """The query of each case alone."""
    return [prompt.query for prompt in prompts]


def _said(before: str, text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.strip_chars() != "").then(pl.lit(before) + text.str.strip_chars())


def _past(prompt: Prompt, titles: Sequence[str]) -> list[str]:
    texts = []
    for turn in reversed(prompt.past):
        title = titles[turn.track] if turn.track != NO_TRACK else ""
        texts += [text for text in (turn.query, title, turn.response) if text]
    return texts
