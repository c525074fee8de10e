"""The made-up world's words and the traits behind them: genres, moods, languages. Everything here is our own choice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sound:
    """How recordings sound: overtone amplitudes from the fundamental up, fading per beat, drums and noise 0-1."""

    overtones: tuple[float, ...]
    fade_per_beat: float
    drums: float
    noise: float
    register_midi: int


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre: its typical tempo, energy 0-1, shares of major keys and of vocal tracks, usual moods and first years."""

    name: str
    tempo_bpm: float
    energy: float
    major_share: float
    vocal_share: float
    debut_year: int
    moods: tuple[str, ...]
    neighbours: tuple[str, ...]
    instruments: tuple[str, ...]
    tags: tuple[str, ...]
    nouns: tuple[str, ...]
    sound: Sound


@dataclass(frozen=True, slots=True)
class Mood:
    """A mood: what it adds to tempo (bpm), energy and the share of major keys, and the words that give it away."""

    name: str
    tempo_shift_bpm: float
    energy_shift: float
    major_shift: float
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    tags: tuple[str, ...]
    activities: tuple[str, ...]
    emoji: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """A language of names and lyrics: English words, or words built from its syllables."""

    name: str
    syllables: tuple[str, ...]


def _split(words: str) -> tuple[str, ...]:
    return tuple(words.split(", "))


MOODS = (
    Mood("happy", 6, 0.08, 0.3, _split("sunny, golden, bright, easy"),
        _split("morning, summer, smile, parade, holiday, picnic"), _split("laugh, whistle, shine"),
        _split("happy, feel good, upbeat"), _split("road trip, good mornings, barbecue"), ("😀", "🌞")),
    Mood("sad", -14, -0.18, -0.4, _split("lonely, broken, empty, wasted"),
        _split("rain, goodbye, tears, letter, winter, silence"), _split("cry, miss, fade"),
        _split("sad, melancholy, heartbreak"), _split("rainy days, breakup, crying time"), ("😢", "💔")),
    Mood("calm", -18, -0.28, 0.1, _split("quiet, slow, gentle, distant"),
        _split("river, meadow, harbour, breeze, lantern, garden"), _split("rest, breathe, drift"),
        _split("calm, chill, relaxing, mellow"), _split("study, sleep, coffee"), ("☕", "🍃")),
    Mood("angry", 18, 0.25, -0.35, _split("burning, savage, ruthless, bitter"),
        _split("fist, riot, enemy, hammer, wire, iron"), _split("fight, shatter, scream"),
        _split("angry, aggressive, intense"), _split("rage, boxing, heavy lifting"), ("😡", "💀")),
    Mood("romantic", -6, -0.1, 0.1, _split("tender, sweet, velvet, warm"),
        _split("heart, kiss, roses, moonlight, darling, promise"), _split("hold, love, need"),
        _split("romantic, love, sensual"), _split("date night, wedding, slow dance"), ("❤️", "😍")),
    Mood("dreamy", -8, -0.12, 0.0, _split("floating, silver, hazy, weightless"),
        _split("cloud, satellite, ocean, mirror, feather, twilight"), _split("dream, float, wander"),
        _split("dreamy, ethereal, atmospheric"), _split("stargazing, night drive, daydream"), ("🌙", "✨")),
    Mood("dark", 0, 0.02, -0.45, _split("hollow, black, cold, buried"),
        _split("shadow, grave, midnight, raven, ashes, cellar"), _split("hide, fall, haunt"),
        _split("dark, gloomy, haunting"), _split("halloween, midnight, villain mode"), ("🖤", "🦇")),
    Mood("party", 14, 0.22, 0.05, _split("electric, wild, loud, neon"),
        _split("night, bassline, weekend, fever, floor, speaker"), _split("jump, move, shake"),
        _split("party, energetic, dance"), _split("workout, pregame, birthday"), ("🔥", "🎉", "💪")),
)  # fmt: skip

GENRES = (
    Genre("pop", 116, 0.6, 0.65, 0.97, 2002, ("happy", "romantic", "party"), ("electronic", "soul"),
        _split("synthesizer, drum machine, piano"), _split("pop, catchy, radio"),
        _split("radio, mirrorball, crush, lipstick"), Sound((1, 0.5, 0.25, 0.12), 1.4, 0.7, 0.03, 60)),
    Genre("rock", 122, 0.7, 0.6, 0.93, 1984, ("happy", "angry", "sad"), ("punk", "metal", "blues"),
        _split("electric guitar, drums, bass guitar"), _split("rock, classic rock, alternative"),
        _split("highway, engine, stone, thunder"), Sound((1, 0.8, 0.7, 0.5, 0.4, 0.3), 0.9, 0.8, 0.06, 48)),
    Genre("hip hop", 92, 0.62, 0.35, 0.98, 2000, ("party", "angry", "dark"), ("soul", "electronic"),
        _split("drum machine, turntables, sampler"), _split("hip hop, rap, beats"),
        _split("corner, crown, paper, block"), Sound((1, 0.2, 0.05), 2.2, 1.0, 0.05, 48)),
    Genre("electronic", 128, 0.75, 0.45, 0.4, 2001, ("party", "dreamy", "dark"), ("pop", "ambient"),
        _split("synthesizer, sequencer, drum machine"), _split("electronic, dance, electronica"),
        _split("circuit, laser, signal, pulse"), Sound((1, 0, 0.6, 0, 0.45, 0, 0.3), 2.6, 1.0, 0.04, 60)),
    Genre("jazz", 104, 0.4, 0.55, 0.3, 1966, ("calm", "romantic", "dreamy"), ("blues", "soul"),
        _split("saxophone, double bass, trumpet, piano"), _split("jazz, swing, bebop"),
        _split("alley, brass, avenue, cigar"), Sound((1, 0.35, 0.6, 0.2, 0.3), 1.1, 0.35, 0.04, 48)),
    Genre("classical", 84, 0.28, 0.55, 0.08, 1962, ("calm", "sad", "romantic"), ("ambient", "jazz"),
        _split("violin, cello, piano, orchestra"), _split("classical, orchestral, chamber"),
        _split("prelude, nocturne, cathedral, winterscape"), Sound((1, 0.6, 0.4, 0.3, 0.2, 0.1), 0.5, 0.0, 0.002, 60)),
    Genre("metal", 146, 0.95, 0.12, 0.9, 1992, ("angry", "dark"), ("rock", "punk"),
        _split("distorted guitar, double kick, bass guitar"), _split("metal, heavy metal, thrash"),
        _split("throne, serpent, steel, inferno"),
        Sound((1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6), 0.5, 1.0, 0.16, 48)),
    Genre("folk", 98, 0.32, 0.7, 0.88, 1974, ("calm", "sad", "romantic"), ("country", "blues"),
        _split("acoustic guitar, banjo, fiddle"), _split("folk, acoustic, singer-songwriter"),
        _split("hill, sparrow, orchard, candle"), Sound((1, 0.45, 0.3, 0.2, 0.1), 2.0, 0.12, 0.015, 60)),
    Genre("country", 112, 0.5, 0.82, 0.97, 1988, ("happy", "sad", "romantic"), ("folk", "rock"),
        _split("pedal steel, acoustic guitar, fiddle"), _split("country, americana, twang"),
        _split("truck, porch, whiskey, creek"), Sound((1, 0.7, 0.2, 0.35, 0.1), 1.8, 0.45, 0.02, 60)),
    Genre("reggae", 78, 0.48, 0.7, 0.92, 1978, ("happy", "calm", "party"), ("soul", "latin"),
        _split("organ, bass guitar, offbeat guitar"), _split("reggae, dub, roots"),
        _split("island, lion, lighthouse, harvest"), Sound((1, 0.15, 0.4, 0.05), 3.2, 0.6, 0.03, 48)),
    Genre("blues", 86, 0.45, 0.4, 0.85, 1964, ("sad", "dark", "romantic"), ("rock", "jazz", "soul"),
        _split("slide guitar, harmonica, piano"), _split("blues, delta blues, slide guitar"),
        _split("crossroad, bottle, train, delta"), Sound((1, 0.75, 0.5, 0.15, 0.25), 1.3, 0.4, 0.05, 48)),
    Genre("soul", 102, 0.55, 0.55, 0.97, 1972, ("romantic", "happy", "party"), ("pop", "hip hop", "blues"),
        _split("horns, electric piano, bass guitar"), _split("soul, rnb, funk"),
        _split("groove, honey, sugar, tambourine"), Sound((1, 0.3, 0.35, 0.3, 0.1), 1.6, 0.6, 0.03, 48)),
    Genre("ambient", 68, 0.12, 0.5, 0.06, 1996, ("calm", "dreamy", "dark"), ("electronic", "classical"),
        _split("pads, field recordings, synthesizer"), _split("ambient, drone, soundscape"),
        _split("glacier, horizon, vapour, tide"), Sound((1, 0.1, 0.02), 0.35, 0.0, 0.004, 60)),
    Genre("punk", 168, 0.92, 0.6, 0.97, 1986, ("angry", "party", "happy"), ("rock", "metal"),
        _split("distorted guitar, drums, shouted vocals"), _split("punk, punk rock, hardcore"),
        _split("basement, safety pin, alley cat, siren"), Sound((1, 0.9, 0.85, 0.7, 0.5, 0.5), 0.8, 1.0, 0.13, 48)),
    Genre("latin", 108, 0.65, 0.5, 0.94, 1999, ("party", "romantic", "happy"), ("reggae", "pop"),
        _split("congas, nylon guitar, trumpet"), _split("latin, salsa, tropical"),
        _split("plaza, fiesta, carnival, mango"), Sound((1, 0.55, 0.1, 0.3), 2.8, 0.85, 0.025, 60)),
)  # fmt: skip

LANGUAGES = (
    Language("english",
        _split("vor, lin, kae, mub, tras, ell, ondo, fen, bri, qua, sil, dar, nim, osk, pell, ruv, wyn, zeph, gal")),
    Language("varresi",
        _split("vár, resi, ólo, ñami, tela, corr, iza, ónde, lúm, pasi, quel, bré, doña, mira, sél, anzo")),
    Language("tovan", _split("тов, ан, рил, мек, сья, дор, вен, лу, жем, кра, ость, нив, пол, зур, ели, гра")),
    Language("himori", _split("ひも, り, かぜ, なむ, そら, てい, みず, おと, ふれ, くも, しあ, めい, とわ, ゆえ")),
)  # fmt: skip

COUNTRIES = _split("Northmere, Varresia, Tova, Himoria, Ostland, Kelbay, Serran Isles, Upper Quill, Brennick, Dalmora")
ROLES = _split("vocals, guitar, bass, drums, keyboards, producer, songwriter, violin, programming")
JUNK_TAGS = _split(
    "seen live, favourites, awesome, under 2000 listeners, my collection, check out, 4 stars, overplayed"
)

GENRE_CODES = {genre.name: code for code, genre in enumerate(GENRES)}
MOOD_CODES = {mood.name: code for code, mood in enumerate(MOODS)}
