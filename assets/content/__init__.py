"""What each track sounds like and says.

Audio files, lyric files and tags come in, matched to the catalog. Decoded lengths, lyrics, tempo, key and meter,
semantic tags, a caption sentence and the 58 attributes of MGPHot go out, each with a status where nothing was found.
"""
