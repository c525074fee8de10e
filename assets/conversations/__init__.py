"""From playlists to conversations.

Playlists with their tracks' metadata, tags and lyrics come in, a slice at a time. Dialogues of query, track and
response go out (TalkPlay section 3.2), written by the profile's language model, validated, refusals kept.
"""
