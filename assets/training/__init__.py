"""From shards to recommenders.

Packed rows and codebooks come in; language models whose vocabulary holds the music tokens go out, with their curves,
and what makes them recommend: prompts, sampling, decoding constrained to the catalog. TalkPlay sections 4.2 to 4.4.
"""
