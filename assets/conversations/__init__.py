"""From playlists to conversations, and from tracks to queries.

Playlists with their tracks' metadata, tags and lyrics come in. Dialogues of query, track and response (TalkPlay section
3.2), queries that one track answers and the modalities that each is about (3MTokenRec) go out, written by the profile's
language model, validated, refusals kept. Conversations of people pass the same rules, as a yardstick.
"""
