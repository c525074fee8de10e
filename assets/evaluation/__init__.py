"""From tokens and models to judgements.

Held-out playlists and sessions come in, and what each system makes of them. Tables with a row a system, protocol and k
go out: ours, the alternatives, popularity and chance, each with a bootstrap interval, beside the papers' own figures.
"""
