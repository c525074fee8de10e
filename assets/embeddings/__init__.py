"""One vector per track and modality.

Content, facts, playlists and sessions come in. TalkPlay's five modalities and 3MToken's nine go out per track shard: of
recordings and texts by the profile's encoders, of tempo, key and release date by binning, and of playlists and sessions
by item2vec (Barkan & Koenigstein 2016) over the training ones. Missing is null.
"""
