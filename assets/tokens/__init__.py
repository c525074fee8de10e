"""From vectors to tokens.

Vectors come in by modality. Codebooks (K-means, TalkPlay section 4.1) and the five codes of each track go out; a
missing modality has its own code, one past the last. The codebooks' hash travels with every table made from them.
"""
