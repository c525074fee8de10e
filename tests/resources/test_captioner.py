from resources.captioner import Heard, SentenceCaptioner
from resources.refusals import Refusal

FOLK = Heard("a", ("folk", "wistful", "acoustic guitar", "female vocals"), 72.4, "D minor", 1999)


def caption(track: Heard) -> str:
    """The caption of one track."""
    result = SentenceCaptioner().caption([track])[0]
    assert isinstance(result, str)
    return result


def test_a_caption_says_all_that_is_known() -> None:
    """Pace, mood, genre, instrument, voice, key, tempo and year are in the sentence."""
    sentence = caption(FOLK)
    for word in ("slow, wistful folk", "in D minor", "acoustic guitar and female vocals", "72 BPM", "1999"):
        assert word in sentence
    assert sentence.endswith(".")


def test_a_track_keeps_its_wording_and_tracks_differ() -> None:
    """The wording follows the track id: equal each time, of four kinds over many tracks."""
    sentences = {caption(Heard(str(number), FOLK.tags, FOLK.tempo_bpm, FOLK.key)) for number in range(50)}
    assert len(sentences) == 4
    assert caption(FOLK) == caption(FOLK)


def test_a_caption_speaks_of_what_is_known_only() -> None:
    """With a genre alone there is no key, tempo or year; a vowel takes 'an'."""
    for number in range(20):
        sentence = caption(Heard(str(number), ("ambient",)))
        assert "an ambient" in sentence.lower()
        assert not any(word in sentence for word in (" in ", "BPM", "released", "with", "None"))


def test_pace_follows_tempo() -> None:
    """75 beats a minute are slow, 76 are not, 132 are fast."""
    paces = [caption(Heard("a", (), tempo)) for tempo in (75.0, 76.0, 104.0, 132.0)]
    for pace, sentence in zip(("slow", "mid-tempo", "lively", "fast"), paces, strict=True):
        assert pace in sentence


def test_nothing_known_is_refused_in_its_place() -> None:
    """A year alone is not a sound; the others keep their places."""
    results = SentenceCaptioner().caption([FOLK, Heard("b", release_year=1999), FOLK])
    assert [isinstance(result, Refusal) for result in results] == [False, True, False]
    refusal = results[1]
    assert isinstance(refusal, Refusal)
    assert (refusal.location, refusal.reason) == ("b", "nothing_known")
