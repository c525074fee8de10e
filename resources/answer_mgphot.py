"""Rules for the task `mgphot`: ratings 0 to 5 of a track's musical attributes, for what its data give reason to say.

Tags and caption name instruments, styles and manners; a style rates only what it is known for. Tempo, key, a title's
"(Live)" and the words of the lyrics rate the rest. Most attributes of most tracks stay null: nothing is guessed.
"""

import random
import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel, Field, JsonValue

from resources.answer_facts import Track
from resources.answer_phrases import IDLE_WORDS
from resources.title_leaks import FUNCTION_WORDS, SUFFIX, words

Ratings = dict[str, int]

HIGHEST = 5
TONALITY, TEMPO = "minor_major_key_tonality", "tempo"
TEMPO_BOUNDS_BPM = (60, 80, 105, 122, 140)
TONALITIES = {"minor": 0, "major": HIGHEST}
LYRICS_WORDS = 12  # fewer tell nothing
ENGLISH_SHARE = 0.15  # of an English text's words that say little; below it the lyrics are taken for another language
HITS = (1, 2, 3, 5, 8)  # so many telling words of a lyrics excerpt make 1, 2, 3, 4, 5 (our choice)
DENIED = re.compile(r"\b(?:no|not|without|lacks?|lacking)\b[^,.;]*")

# `phrase | phrase: attribute rating, attribute rating`, of words in tags and captions; a longer phrase hides those in
# it, and a phrase without ratings tells nothing. All of it is our choice.
EVIDENCE = """
piano: piano 4
electric piano | rhodes | wurlitzer: rhodes 4
organ | hammond: organ 4
synth | synths | synthesizer | synthesizers | pads: synthesizer 4, synth_timbre 3, synthetic_sonority 3
synthpop | synth pop | electropop: synthesizer 5, synth_timbre 4, synthetic_sonority 4, synthetic_drums 3
sequencer | sampler | turntables | samples: synthetic_sonority 3, audio_production 3
drum machine | drum machines: synthetic_drums 4
drums | drum kit: drum_set 4
double kick: drum_set 5, drum_aggressiveness 5
percussion | congas | bongos | tambourine: percussion 4
electric guitar | electric guitars | slide guitar: electric_guitar 4, electric_sonority 3
distorted guitar | distorted guitars | fuzz: electric_guitar 5, electric_guitar_distortion 5, electric_sonority 4
acoustic guitar | nylon guitar | classical guitar: acoustic_guitar 4, acoustic_sonority 4
bass guitar: bass_guitar 4
strings | string section | orchestra | orchestral | string quartet: string_ensemble 4, acoustic_sonority 4
violin | cello | double bass | harp | banjo | fiddle | mandolin | ukulele | accordion: acoustic_sonority 4
horns | horn section | brass: horn_ensemble 4
saxophone | sax | clarinet | oboe | bassoon: reed_instrument 4
choir | backing vocals | harmonies: vocal_accompaniment 4, focus_on_vocal_accompaniment 3
a cappella | acapella: vocal_accompaniment 5, drum_set 0, synthesizer 0, electric_guitar 0, focus_on_lead_vocal 4
instrumental: focus_on_lead_vocal 0, focus_on_lyrics 0
raspy | gritty vocals | rough vocals | growl: vocal_grittiness 4
shouted vocals | screaming | screamo: vocal_grittiness 5, vocal_smoothness 0
breathy | whispered: vocal_breathiness 4
smooth vocals | crooner: vocal_smoothness 4
falsetto | soprano: vocal_register 5
baritone: vocal_register 1

rock | hard rock: electric_guitar 4, drum_set 4, bass_guitar 3, backbeat 4, electric_sonority 3
punk | punk rock | hardcore: electric_guitar 4, electric_guitar_distortion 4, drum_set 4, drum_aggressiveness 4,
    backbeat 4, aural_intensity 4, electric_sonority 4
metal | heavy metal | thrash: electric_guitar 5, electric_guitar_distortion 5, drum_set 4, drum_aggressiveness 5,
    aural_intensity 5, electric_sonority 5, focus_on_riffs 4
grunge: electric_guitar 5, electric_guitar_distortion 4, drum_set 4, electric_sonority 4
electronic | electronica | techno | house | trance | edm: synthesizer 4, synth_timbre 4, synthetic_drums 4,
    synthetic_sonority 5
ambient | drone | soundscape: drum_set 0, backbeat 0, danceability 0, aural_intensity 1, synthetic_sonority 3
hip hop | hiphop | rap: synthetic_drums 3, backbeat 4, focus_on_lyrics 4, focus_on_rhythmic_groove 4
jazz | bebop: swing_feel 4, harmonic_sophistication 4, focus_on_performance 3
swing | big band: swing_feel 5, horn_ensemble 4
blues | delta blues: shuffle_feel 3
shuffle: shuffle_feel 5
waltz: triple_meter 5
classical | chamber | baroque | opera: acoustic_sonority 5, electric_sonority 0, synthetic_sonority 0, drum_set 0,
    backbeat 0, electric_guitar 0, synthesizer 0
folk | singer songwriter | bluegrass: acoustic_guitar 4, acoustic_sonority 4, focus_on_lyrics 3
country | americana: acoustic_guitar 3
reggae | dub | ska: syncopation_low_to_high 4, bass_guitar 4, focus_on_rhythmic_groove 4
funk: syncopation_low_to_high 4, bass_guitar 4, focus_on_rhythmic_groove 5, danceability 4
soul | rnb | r&b | motown: backbeat 4, focus_on_lead_vocal 4
salsa | samba | latin | cumbia: percussion 4, syncopation_low_to_high 4, danceability 4
disco | dance | danceable: danceability 5
progressive | progressive rock | prog: harmonic_sophistication 3, odd_meter 2, focus_on_form 3

acoustic | unplugged: acoustic_sonority 4, synthetic_sonority 0
calm | mellow | soothing | relaxing | gentle | quiet: aural_intensity 1
aggressive | intense | loud | heavy: aural_intensity 5
energetic: aural_intensity 4
groovy | groove: focus_on_rhythmic_groove 4
syncopated: syncopation_low_to_high 4
riff | riffs: focus_on_riffs 4
virtuoso: focus_on_performance 5
lo fi: audio_production 1
love songs | love song: love_romance_lyrics 5
political | protest: social_political_lyrics 4
comedy | parody | funny: humorous_lyrics 4
explicit: explicit_lyrics 5
live | concert: live_recording 5
seen live | live electronics:
"""
# Words of the lyrics that tell of an attribute; humour and abstraction are in no single word.
TELLING = {
    "angry_lyrics": """
        anger angry bitter burn burning enemy fight fist hammer hate kill rage riot ruthless savage scream shatter war
    """,
    "sad_lyrics": """
        alone ashes broken cried cry crying die empty fade goodbye grave grief hurt lonely lost miss pain sad silence
        sorrow tears wasted
    """,
    "happy_joyful_lyrics": """
        bright celebrate cheer dance dancing happy holiday joy laugh parade party picnic shine smile summer sunny
        sunshine whistle
    """,
    "love_romance_lyrics": """
        adore arms baby darling embrace heart hold honey kiss kisses love loved lover loving moonlight promise roses
        sweet tender
    """,
    "social_political_lyrics": """
        army bombs freedom government hunger justice nation police politicians poor poverty power prison protest
        revolution rights soldiers war workers
    """,
    "explicit_lyrics": "bitch bitches fuck fucked fucking motherfucker shit",
}


class Payload(BaseModel):
    """What the task needs. A second `reading` of the same track finds the same words, so it agrees with the first."""

    track: Track
    attributes: list[str] = Field(min_length=1)


def mgphot(payload: Payload, draw: random.Random) -> dict[str, JsonValue]:  # noqa: ARG001 - nothing is drawn
    """A rating or null for each attribute, null for one that these rules don't know."""
    track = payload.track
    said: Ratings = {}
    for ratings in _named(track):
        # The strongest word counts: what is named is there, whatever its style mostly lacks.
        said |= {attribute: max(rating, said.get(attribute, 0)) for attribute, rating in ratings.items()}
    said |= _measured(track) | _sung(track.lyrics_excerpt or "", said)
    return {attribute: said.get(attribute) for attribute in payload.attributes}


def _named(track: Track) -> Iterator[Ratings]:
    """What each telling phrase of tags, caption and the title's suffix says."""
    for text in (*track.tags, DENIED.sub("", (track.caption or "").casefold())):
        for phrase in _phrases().findall(" ".join(words(text))):
            yield _evidence()[phrase]
    if any("live" in words(suffix) for suffix in SUFFIX.split(track.title)[1:]):
        yield _evidence()["live"]


def _measured(track: Track) -> Ratings:
    mode = (track.key or "").rpartition(" ")[2]
    measured = {TONALITY: TONALITIES[mode]} if mode in TONALITIES else {}
    if track.tempo_bpm is not None:
        measured[TEMPO] = bisect(TEMPO_BOUNDS_BPM, track.tempo_bpm)
    return measured


def _sung(lyrics: str, said: Ratings) -> Ratings:
    """What the words of the lyrics say: 0 where none of an attribute's is among them, unless a tag says otherwise."""
    counts = Counter(words(lyrics))
    known = sum(count for word, count in counts.items() if word in FUNCTION_WORDS or word in IDLE_WORDS)
    if counts.total() < LYRICS_WORDS or known < ENGLISH_SHARE * counts.total():
        return {}
    hits = {attribute: sum(counts[word] for word in telling.split()) for attribute, telling in TELLING.items()}
    return {attribute: max(bisect(HITS, hit), said.get(attribute, 0)) for attribute, hit in hits.items()}


@cache
def _evidence() -> dict[str, Ratings]:
    """The ratings of every phrase, its words joined by spaces."""
    evidence: dict[str, Ratings] = {}
    for line in re.sub(r"\n +", " ", EVIDENCE).split("\n"):
        phrases, _, claims = line.partition(":")
        ratings = {
            name: int(rating) for name, rating in (claim.split() for claim in claims.split(",") if claim.strip())
        }
        evidence |= {" ".join(words(phrase)): ratings for phrase in phrases.split(" | ") if phrase}
    return evidence


@cache
def _phrases() -> re.Pattern[str]:
    longest_first = sorted(_evidence(), key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"\b(?:{'|'.join(longest_first)})\b")
