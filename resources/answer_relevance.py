"""Rules for the task `relevance` (3MTokenRec's modality selector): how much each of nine modalities matters to a query.

The query's words alone decide, by lists of cues for each modality. Capitalised names and what stands in quotation marks
count as names and titles, whatever their words. It leaves out languages: it reads English.
"""

import random
import re
from functools import cache

from pydantic import BaseModel, JsonValue

from resources.answer_phrases import (
    DECADES,
    FASTER,
    INSTRUMENTS,
    MOODS,
    OCCASIONS,
    ORIGINS,
    PACES,
    SLOWER,
    TIMBRES,
)

SCORES = (0, 6, 8, 9, 10)  # by the number of different cues (our choice)
UNTOLD = 5  # of every modality, where a query has no cue at all
# What matters somewhat, too, where it has fewer cues of its own (our choice).
RELATED = {
    "AC": {"BM": 4, "AB": 3},
    "BM": {"AC": 5, "AB": 2},
    "ST": {"SC": 3, "TC": 2},
    "SC": {"ST": 3, "MC": 1},
    "MC": {"SC": 2},
    "RI": {"ST": 1},
    "SF": {"BM": 2},
    "AB": {"AC": 4},
    "TC": {"ST": 3, "AC": 2},
}
# How a wish begins, which says nothing of what is wished for.
LEADS = re.compile(r"\b(?:(?:how|what) about|line up|in the mood for|feel like(?: hearing)?)\b", re.IGNORECASE)
# In the cues § stands for a title in quotation marks and @ for a name; both are regular expressions otherwise.
TITLE, NAME = "§", "@"
CUES = {
    "AC": "@ | by @ | featuring | feat | perform | performs | performed | performer | recorded | credited | line-up"
    " | collaborations? | joins | duets? | guests? | producer | produced by | composer | written by | drummer"
    " | bassist | guitarist | members?",
    "BM": "@ | § | called | named | titled | title",
    "ST": "genres? | styles? | moods? | vibes? | atmosphere | feels? | feeling | file under | touch of | hip hop"
    " | feel good | kind of",
    "SC": "sounds? | sounding | timbre | production | arrangement | foreground | instruments? | instrumental | voices?"
    " | vocals | energy | volume | acoustics | tones?",
    "MC": r"\d+ bpm | bpm | beats a minute | beats per minute | beats? | tempo | pulse | pace | rhythm | minor | major"
    " | key | harmony | tonality | fast | fastest | slowest | tuned | moves",
    "RI": r"(?:19|20)\d\d | (?:\d\d)?\d0['’]?s | decades? | years? | released? | releases | came out | come out"
    " | put out | dating | dates | appeared | new | newest | recent | latest | vintage | that was new",
    "SF": "lyrics? | words? | verses? | chorus | lines?(?!-) | text | story | imagery | sings? of | about | mentions?"
    " | bring up | returning to | full of | touching on | circling around | dealing with | telling of | speak of"
    " | paints | soundtrack | films? | movies? | covers? | covered | samples? | sampled | won | awards? | remix"
    " | number one | charts? | written for | wrote",
    "AB": "singers? | sung by | bands? | groups? | duo | musicians | artists? | someone | born | grew up | biography"
    " | wom[ae]n | m[ae]n | female | male | from @ | hometown | people with | at the microphone",
    "TC": "playlists? | goes with | goes well with | go with | together with | similar | similar to | like @ | next to"
    " | fans | listeners | listeners who | people put | people play | also play | often play | others | popular"
    " | mix for | dance | gym | studying | falling asleep | party | parties",
}
GENRES = """
    pop rock hip-hop hiphop rap electronic electronica techno house trance jazz bebop classical orchestral opera baroque
    metal thrash folk country americana bluegrass reggae dub ska blues soul funk rnb r&b motown disco dance ambient
    drone punk hardcore emo grunge indie alternative acoustic latin salsa bossa samba tango flamenco gospel swing
    shoegaze dubstep trap drill grime garage psychedelic progressive singer-songwriter dancehall afrobeat cumbia
    reggaeton k-pop j-pop
"""
SPOKEN_OF = {
    "ST": MOODS.union(GENRES.split()),
    "SC": INSTRUMENTS | TIMBRES,
    "MC": frozenset(word for choices in [*PACES.values(), FASTER, SLOWER] for word in choices),
    "RI": frozenset(DECADES.values()),
    "AB": ORIGINS,
    "TC": frozenset(OCCASIONS),
}
CAPITALISED = ORIGINS | OCCASIONS.keys()
QUOTED = re.compile('[“„«"][^“”„«»"]+[”»"]')
# Capitalised words in a row, anywhere but where a sentence begins; keys such as F# minor aside.
NAMED = re.compile(
    r"(?<!^)(?<![.?!:]\s)(?<!\w)(?!I\b|[A-G][#b♯♭]? (?:major|minor)\b)"
    r"[^\W\d_a-z][\w'’.&-]*(?: (?:(?:of|the|and|&|de|la) )*[^\W\d_a-z][\w'’.&-]*)*"
)
BARE_TITLE = re.compile(rf"{NAME}(?: \(feat[^)]*\))? by {NAME}")
TYPED_NAME = re.compile(r"\bby (?!someone|somebody|artists|people|the (?:way|sea|water|fire)\b)\w+")


class Payload(BaseModel):
    """What the task needs."""

    query: str


def relevance(payload: Payload, draw: random.Random) -> dict[str, JsonValue]:  # noqa: ARG001 - nothing is drawn
    """A whole number from 0 to 10 for each modality."""
    text = _masked(payload.query)
    counts = {modality: len(set(cues.findall(text))) for modality, cues in _cues().items()}
    if not any(counts.values()):
        return dict.fromkeys(counts, UNTOLD)
    scores = {modality: SCORES[min(count, len(SCORES) - 1)] for modality, count in counts.items()}
    for modality, count in counts.items():
        for other, score in RELATED[modality].items() if count else ():
            scores[other] = max(scores[other], score)
    return dict(scores)


def _masked(query: str) -> str:
    """The query in lower case, with marks in the place of titles and names."""
    unquoted = LEADS.sub("play", QUOTED.sub(TITLE, query))
    if unquoted.islower():
        return TYPED_NAME.sub(f"by {NAME}", unquoted)
    named = NAMED.sub(lambda name: name[0] if name[0].casefold() in CAPITALISED else NAME, unquoted)
    return BARE_TITLE.sub(f"{TITLE} by {NAME}", named).casefold()


@cache
def _cues() -> dict[str, re.Pattern[str]]:
    """For each modality, a pattern of all that speaks of it, longer cues before those that begin them."""
    patterns: dict[str, re.Pattern[str]] = {}
    for modality, cues in CUES.items():
        choices = {*cues.split(" | "), *map(re.escape, SPOKEN_OF.get(modality, ()))}
        ordered = sorted(choices, key=lambda cue: (-len(cue), cue))
        patterns[modality] = re.compile(rf"(?<!\w)(?:{'|'.join(ordered)})(?!\w)")
    return patterns
