"""The stages there are, in the order of the graph, and the milestones they end in."""

STAGES = (
    "sources",
    "catalog",
    "content",
    "embeddings",
    "tokens",
    "conversations",
    "shards",
    "index",
    "training",
    "evaluation",
)
CORPUS = STAGES[: STAGES.index("shards") + 1]
INDEX = STAGES[: STAGES.index("index") + 1]
MODELS = STAGES[: STAGES.index("training") + 1]
EVALUATION = STAGES
