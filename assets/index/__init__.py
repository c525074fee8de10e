"""From tokens to look-ups.

The tokens of every track come in. A LanceDB table of tokens and vectors goes out, bound to the codebooks' hash, and
from it a matcher in memory: exact matches of five tokens, and weighted partial ones that rank the whole catalog
(TalkPlay 4.4).
"""
