"""The tables that `evaluation` writes."""

import dataframely as dy

from resources.tables import Table


class Cbr(dy.Schema):
    """How often content-based retrieval by one system hits, within the first k (3MToken Table 1)."""

    system = dy.String(primary_key=True, description="m3token, kmeans, vqvae, embeddings, chance, ...")
    protocol = dy.String(primary_key=True, description="cp: test playlists; co: pairs of test sessions")
    metric = dy.String(primary_key=True, description="hit")
    k = dy.Int32(primary_key=True, min=1, description="Tracks looked at")
    value = dy.Float64(
        nullable=False, min=0, max=1, description="Share of the cases that hit, equal scores in any order"
    )
    low = dy.Float64(nullable=False, description="Where its 95 % bootstrap interval begins")
    high = dy.Float64(nullable=False, description="Where it ends")
    behind = dy.Float64(nullable=False, description="How far it is below m3token on the same cases")
    behind_low = dy.Float64(nullable=False, description="Where the interval of that difference begins")
    behind_high = dy.Float64(nullable=False, description="Where it ends")
    cases = dy.Int64(nullable=False, min=0, description="Seed tracks")
    published = dy.Float64(nullable=True, description="The paper's own figure, on its own data; null where it has none")


class Talkplay(dy.Schema):
    """How well one system finds the track of a turn (TalkPlay Table 2, Figure 3)."""

    system = dy.String(
        primary_key=True,
        description="talkplay_constrained, talkplay_sampled, bm25, dense, clap, popularity, ...",
    )
    protocol = dy.String(
        primary_key=True,
        description="turns: test conversations; queries: lone queries; human: conversations of people (CPCD)",
    )
    part = dy.String(primary_key=True, description="all, warm, cold, or the turn's number: turn_01, turn_02, ...")
    metric = dy.String(primary_key=True, description="mrr, hit, or exact: generated codes that are a track's")
    k = dy.Int32(primary_key=True, min=0, description="Tracks looked at; 0: all")
    value = dy.Float64(nullable=False, min=0, max=1, description="Mean over the turns, equal scores in any order")
    low = dy.Float64(nullable=False, description="Where its 95 % bootstrap interval begins; whole playlists are drawn")
    high = dy.Float64(nullable=False, description="Where it ends")
    behind = dy.Float64(nullable=True, description="How far it is below talkplay_constrained on the same turns")
    behind_low = dy.Float64(nullable=True, description="Where the interval of that difference begins")
    behind_high = dy.Float64(nullable=True, description="Where it ends")
    cases = dy.Int64(nullable=False, min=0, description="Turns")
    published = dy.Float64(nullable=True, description="The paper's own figure, on its own data; null where it has none")


CBR = Table("evaluation", "cbr", Cbr)
TALKPLAY = Table("evaluation", "talkplay", Talkplay)
