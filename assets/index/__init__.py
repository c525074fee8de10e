"""From tokens to look-ups.

The tokens of every track come in. LanceDB tables go out, TalkPlay's and 3MToken's, each bound to its codebooks' hash,
and from each a matcher in memory: exact matches of all tokens, and weighted partial ones that rank the whole catalog,
by modality (TalkPlay 4.4) or by level too (3MToken 2.4).
"""
