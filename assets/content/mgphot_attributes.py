"""The 58 attributes of MGPHot in index order, with definitions of our own.

Names, order and categories are the schema's (Oramas et al., TISMIR 8(1):108-120, 2025); the published definitions and
values may not be passed on. Every attribute is asked for as a whole number 0..5 and kept as a share 0..1: a bipolar one
runs from its low pole to its high one, every other from absent to dominant.
"""

import re
from typing import Literal, NamedTuple, get_args

Category = Literal["vocals", "harmony", "rhythm", "instrumentation", "lyrics", "sonority", "focus"]

SCALE = 5  # ratings are whole numbers 0..SCALE
WORDS = re.compile(r"[a-z0-9]+")


class Attribute(NamedTuple):
    """One attribute: what is rated, what 0 and SCALE mean, and what most tracks of popular music get."""

    name: str
    category: Category
    definition: str
    usual: str
    low: str = "absent"
    high: str = "dominant"

    @property
    def column(self) -> str:
        """Its name in tables, requests and answers."""
        return column_name(self.name)

    @property
    def line(self) -> str:
        """How it is explained to a language model."""
        return f"- {self.column}: {self.definition}. 0 {self.low}, {SCALE} {self.high}; {self.usual}."


def column_name(name: str) -> str:
    """The words of an attribute's name in lower case, joined by underscores: spelled one way, however it is spaced.

    >>> column_name("Minor / Major Key Tonality") == column_name("Minor/Major Key Tonality")
    True
    """
    return "_".join(WORDS.findall(name.lower()))


def in_category(category: Category) -> tuple[Attribute, ...]:
    """The attributes of one category, in index order."""
    return tuple(attribute for attribute in ATTRIBUTES if attribute.category == category)


FEW = "0 in most"
SOME = "1 to 3 in most"
MUCH = "3 or 4 in most"

_VOCALS = (
    ("Vocal Register", "How high the lead voice lies most of the time", "2 or 3 in most", "very low", "very high"),
    ("Vocal Timbre Thin to Full", "How much body the lead voice has", "3 in most", "thin", "full"),
    ("Vocal Breathiness", "How much air is heard in the lead voice", "1 or 2 in most"),
    ("Vocal Smoothness", "How evenly and softly the lead voice joins its notes", MUCH),
    ("Vocal Grittiness", "How rough, raspy or strained the lead voice is", "0 to 2 in most"),
    ("Vocal Nasality", "How much the lead voice sounds through the nose", "1 in most"),
    ("Vocal Accompaniment", "How much further voices harmonise with the lead or answer it", "1 or 2 in most"),
)
_HARMONY = (
    ("Minor / Major Key Tonality", "Whether its key is a minor or a major one", "4 in most", "minor", "major"),
    ("Harmonic Sophistication", "How rich and unexpected its chords and changes of key are", "1 or 2 in most"),
)
_RHYTHM = (
    ("Tempo", "How fast the beat is that one taps to", "2 or 3 in most", "very slow", "very fast"),
    ("Cut Time Feel", "How much it is felt in two broad beats a bar", FEW),
    ("Triple Meter", "How much its bars have three beats, as a waltz's", FEW),
    ("Compound Meter", "How much its beats fall into three equal parts, as in 6/8 or 12/8", FEW),
    ("Odd Meter", "How much its bars have five, seven or another odd number of beats", FEW),
    ("Swing Feel", "How much its eighth notes are long and short by turns, as in jazz", FEW),
    ("Shuffle Feel", "How much a triplet shuffle drives it, as in blues", FEW),
    ("Syncopation Low to High", "How much its accents fall beside the beat", "1 to 3 in most", "low", "high"),
    ("Backbeat", "How strongly the second and fourth beats are struck", MUCH),
    ("Danceability", "How readily it makes one dance: a steady pulse and a strong groove", "2 or 3 in most"),
)
_INSTRUMENTATION = (
    ("Drum Set", "How present a drum kit is, played or programmed to sound like one", MUCH),
    ("Drum Aggressiveness", "How hard the drums are hit", "1 to 3 in most"),
    ("Synthetic Drums", "How present drum machines and electronic drum sounds are", "0 to 3 in most, by its decade"),
    ("Percussion", "How present percussion beside the drum kit is: shakers, congas, claps", SOME),
    ("Electric Guitar", "How present electric guitars are", "2 to 4 in rock, 0 or 1 in electronic music"),
    ("Electric Guitar Distortion", "How distorted the electric guitars are", "0 or 1 outside rock and metal"),
    ("Acoustic Guitar", "How present acoustic guitars are", "0 to 2 in most"),
    ("String Ensemble", "How present a group of bowed strings is", FEW),
    ("Horn Ensemble", "How present a group of brass or mixed horns is", FEW),
    ("Piano", "How present an acoustic piano or its likeness is", "0 to 2 in most"),
    ("Organ", "How present an organ is", FEW),
    ("Rhodes", "How present an electric piano of the Rhodes kind is", FEW),
    ("Synthesizer", "How present synthesizers are", "0 to 3 in most, by its decade"),
    ("Synth Timbre", "How much the synthesizers' own colours shape its sound", "0 where there are none"),
    ("Bass Guitar", "How present a bass guitar is", MUCH),
    ("Reed Instrument", "How present saxophones, clarinets and other reeds are", FEW),
)
_LYRICS = (
    ("Angry Lyrics", "How angry its words are", FEW),
    ("Sad Lyrics", "How sad, lonely or grieving its words are", "0 to 3 in most"),
    ("Happy/Joyful Lyrics", "How happy, joyful or celebrating its words are", "0 to 3 in most"),
    ("Humorous Lyrics", "How funny or playful its words mean to be", FEW),
    ("Love/Romance Lyrics", "How much its words are about love, desire or romance", "2 to 4 in many, 0 elsewhere"),
    ("Social/Political Lyrics", "How much its words are about society, politics or a cause", FEW),
    ("Abstract Lyrics", "How much its words work by image and association, not by plain statement", "1 in most"),
    ("Explicit Lyrics", "How coarse, sexual or violent its words are", "0 in most, more in some rap and metal"),
)
_SONORITY = (
    ("Live Recording", "How much it sounds like a concert: audience, hall, one take", FEW),
    ("Audio Production", "How much studio work shapes it: effects, layers, editing", "2 or 3 in most"),
    ("Aural Intensity", "How loud, dense and forceful it is as a whole", "2 or 3 in most", "gentle", "intense"),
    ("Acoustic Sonority", "How much of its sound is of acoustic instruments", "1 to 3 in most"),
    ("Electric Sonority", "How much of its sound is of electric, amplified instruments", "1 to 3 in most"),
    ("Synthetic Sonority", "How much of its sound is of synthesizers, samples and programming", "0 to 3 in most"),
)
_FOCUS = (
    ("Focus on Lead Vocal", "How much it is built around the lead voice", MUCH),
    ("Focus on Lyrics", "How much it is built around its words", "2 or 3 in most, more in rap and folk"),
    ("Focus on Melody", "How much it is built around its tune", "2 or 3 in most"),
    ("Focus on Vocal Accompaniment", "How much it is built around its further voices", "0 or 1 in most"),
    ("Focus on Rhythmic Groove", "How much it is built around its groove", "2 or 3 in most"),
    ("Focus on Musical Arrangements", "How much it is built around the interplay of its parts", "1 or 2 in most"),
    ("Focus on Form", "How much it is built around an unusual course of its sections", "0 or 1 in most"),
    ("Focus on Riffs", "How much it is built around short repeated figures", "1 or 2 in most"),
    ("Focus on Performance", "How much it is built around the skill of who plays or sings", "1 or 2 in most"),
)

CATEGORIES: tuple[Category, ...] = get_args(Category)
_BY_CATEGORY = (_VOCALS, _HARMONY, _RHYTHM, _INSTRUMENTATION, _LYRICS, _SONORITY, _FOCUS)
ATTRIBUTES: tuple[Attribute, ...] = tuple(
    Attribute(name, category, *rest)
    for category, attributes in zip(CATEGORIES, _BY_CATEGORY, strict=True)
    for name, *rest in attributes
)
COLUMNS: tuple[str, ...] = tuple(attribute.column for attribute in ATTRIBUTES)
