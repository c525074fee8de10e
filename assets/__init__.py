"""What is made: one package a stage.

The stages in order: sources, catalog, content, embeddings, tokens, conversations, shards, index.
"""
