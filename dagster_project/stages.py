"""The stages there are, in the order of the graph, and the milestones they end in."""

STAGES = ("sources", "catalog", "content", "embeddings", "tokens", "conversations", "shards", "index")
CORPUS = STAGES[:-1]
INDEX = STAGES
