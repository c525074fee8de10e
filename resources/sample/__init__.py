"""A small made-up world in the publishers' own formats: playlists, a listening log, recordings with lyrics, and facts.

Nothing real is in it. Latent genres, moods, tempo, key, artists and tastes make what is written agree across the
sources, so that learning from it is possible and content says something about tracks that no playlist has shown yet.
"""
