"""The tables that `shards` writes: folders, since other tools open them whole."""

import dataframely as dy

from resources.tables import Table, refused_table


class Rows(dy.Schema):
    """One row of exactly the context length, with several whole sequences."""

    input_ids = dy.List(dy.Int32(nullable=False), nullable=False, description="Token ids, the row's end padded")
    labels = dy.List(
        dy.Int32(nullable=False), nullable=False, description="The ids to learn, in their own places; -100 elsewhere"
    )
    position_ids = dy.List(
        dy.Int32(nullable=False), nullable=False, description="Place in the sequence: each starts again from 0"
    )


class Conversations(Rows):
    """One row of packed conversations; labels on the music and the responses."""


class Continuations(Rows):
    """One row of packed playlist continuations; labels on the tracks after the cut."""


class Tokenizer(dy.Schema):
    """One token of the tokenizer, which `AutoTokenizer.from_pretrained` opens."""

    id = dy.Int32(primary_key=True, description="Token id, from 0 without gaps")
    token = dy.String(nullable=False, description="The token; music tokens come last")


CONVERSATIONS = Table("shards", "conversations", Conversations, form="folder")
CONTINUATIONS = Table("shards", "continuations", Continuations, form="folder")
TOKENIZER = Table("shards", "tokenizer", Tokenizer, form="folder")
REFUSED = refused_table("shards")
