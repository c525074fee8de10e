"""From conversations and playlists to training shards.

Turns, playlists and the five codes of each track come in. A tokenizer that knows the music tokens and packed rows of
token ids with labels go out (TalkPlay, arXiv 2502.13713, eq. 1), as Parquet with a manifest, train and test apart.
"""
