"""The stages there are, in the order of the graph, and the milestones they end in."""

STAGES = ("sources", "catalog", "content", "embeddings", "tokens", "conversations", "shards", "index", "evaluation")
CORPUS = STAGES[: STAGES.index("shards") + 1]
INDEX = STAGES[: STAGES.index("index") + 1]
EVALUATION = STAGES
