"""The tables that `training` writes; models are folders, since other tools open them whole."""

import dataframely as dy

from resources.lake import Lake
from resources.tables import Table


class TalkplayModel(dy.Schema):
    """One tensor of the model's safetensors file; `from_pretrained` opens the folder, the tokenizer included."""

    name = dy.String(primary_key=True, description="The tensor's name in the file")
    shape = dy.List(dy.Int64(nullable=False), nullable=False, description="Its shape")


class TalkplayCurves(dy.Schema):
    """The losses of one step of one model's training, or of one validation."""

    variant = dy.String(primary_key=True, description="full, without_self_similarity, ...")
    split = dy.String(primary_key=True, regex="^(train|validation)$", description="What the losses are of")
    step = dy.Int64(primary_key=True, min=0, description="Steps made before; validations begin at 0")
    conversations = dy.Float64(nullable=True, description="Cross-entropy of a labelled token of conversations, in nats")
    playlists = dy.Float64(nullable=True, description="Cross-entropy of a labelled token of continuations, in nats")
    self_similarity = dy.Float64(nullable=False, description="eq. 2, before lambda")
    loss = dy.Float64(nullable=False, description="What is minimized: the three with their weights")
    learning_rate = dy.Float64(nullable=True, description="Of the step; null for validations")
    gradient_norm = dy.Float64(nullable=True, description="Before clipping; null for validations")


TALKPLAY_MODEL = Table("training", "talkplay_model", TalkplayModel, form="folder")
TALKPLAY_CURVES = Table("training", "talkplay_curves", TalkplayCurves)


def has_model(lake: Lake, variant: str) -> bool:
    """Whether the variant was trained: without training rows its folder holds a note alone."""
    record = lake.record(TALKPLAY_MODEL, variant)
    return record is not None and record.rows > 0
