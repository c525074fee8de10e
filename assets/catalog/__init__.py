"""From rows of several sources to one catalog.

Slices and the listening log come in. One track per recording goes out, with the link between the two sources and its
score, TalkPlay's chronological split (section 3.3), warm and cold tracks, listening sessions with completion ratios,
and the table of counts that TalkPlay prints as its Table 1.
"""
