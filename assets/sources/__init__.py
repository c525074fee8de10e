"""Published data in, rows out.

Million Playlist Dataset slices (Chen et al. 2018), the LastFM-1K listening log (Celma 2010) and facts about artists,
releases and tracks come in as files of other people's making. Playlists, plays, listeners and facts go out as
tables; what cannot be used goes to `sources/refused` with its reason.
"""
