"""One vector per track and modality.

Content and playlists come in. Audio, lyrics, metadata and semantic vectors by the profile's encoders go out per
track shard, and playlist co-occurrence vectors by item2vec (Barkan & Koenigstein 2016) over the training playlists.
Missing is null.
"""
