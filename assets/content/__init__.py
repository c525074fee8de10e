"""What each track sounds like and says.

Audio files, lyric files and tags come in, matched to the catalog. Decoded lengths, lyrics, tempo and key, semantic
tags and a caption sentence go out, each with a status where nothing was found.
"""
