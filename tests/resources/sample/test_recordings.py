"""Recordings: which there are, what lies beside and inside them, and the spoilt ones."""

import mutagen
import numpy as np
import pytest
import soundfile

from resources.sample.latents import draw_latents
from resources.sample.lyrics import lyric_lines, timed_lines
from resources.sample.names import draw_names
from resources.sample.recordings import SPOILT, SUFFIXES, plan_recordings
from resources.sample.streams import Purpose, generator
from resources.sample.vocabulary import MOODS


@pytest.fixture(scope="module")
def files(world):
    """The recordings, by stem."""
    return {path.stem: path for path in (world.folder / "audio").iterdir() if path.suffix in SUFFIXES}


@pytest.fixture(scope="module")
def readable(files):
    """Those that libsndfile reads to their end."""
    whole = {}
    for stem, path in files.items():
        try:
            samples, rate_hz = soundfile.read(path)
        except soundfile.LibsndfileError:
            continue
        whole[stem] = (path, samples, rate_hz)
    return whole


def test_85_percent_of_the_tracks_have_a_recording_named_by_id(world, files):
    """204 of 240 tracks; the stem is the Spotify id, or the MBID of a track that only the log knows."""
    latent = world.latent()
    ids = {
        (uri or mbid or "").removeprefix("spotify:track:") for uri, mbid in latent.select("track_uri", "mbid").rows()
    }
    assert len(files) == 204
    assert files.keys() <= ids
    assert any("-" in stem for stem in files)


def test_recordings_are_mono_of_the_length_asked_for(world, readable):
    """1.5 s at 22,050 Hz in all four kinds of file; mp3 frames may round it up."""
    assert {path.suffix for path, _, _ in readable.values()} == set(SUFFIXES)
    for _, samples, rate_hz in readable.values():
        assert samples.ndim == 1
        assert rate_hz == 22_050
    lengths = [len(samples) / 22_050 for _, samples, _ in readable.values()]
    assert sum(length == 1.5 for length in lengths) == world.summary.recordings


def test_four_files_are_spoilt(world, files):
    """Cut off, random bytes named .mp3, a playlist posing as audio, and an empty file."""
    assert world.summary.spoilt_recordings == len(SPOILT) == 4
    contents = [path.read_bytes() for path in files.values()]
    assert sum(content.startswith(b"#EXTM3U") for content in contents) == 1
    assert contents.count(b"") == 1
    cut = [path for path in files.values() if path.suffix == ".flac" and path.stat().st_size == 60_000]
    assert len(cut) == 1
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(cut[0])


def test_only_vocal_tracks_have_lyrics(world, files):
    """Every lyric file lies beside a recording of a vocal track; seven in ten have one or a tag."""
    is_vocal = {
        (uri or mbid or "").removeprefix("spotify:track:"): vocal
        for uri, mbid, vocal in world.latent().select("track_uri", "mbid", "vocal").rows()
    }
    beside = [path for path in (world.folder / "audio").iterdir() if path.suffix in {".txt", ".lrc"}]
    assert {path.suffix for path in beside} == {".txt", ".lrc"}
    assert all(is_vocal[path.stem] and path.stem in files for path in beside)
    assert len(beside) < world.summary.lyrics
    assert 0.6 < world.summary.lyrics / sum(is_vocal[stem] for stem in files) < 0.8


def test_some_files_carry_tags(world, readable):
    """A few have title and artist inside, fewer of these lyrics; the title is the track's."""
    titles = {
        (uri or mbid or "").removeprefix("spotify:track:"): title
        for uri, mbid, title in world.latent().select("track_uri", "mbid", "title").rows()
    }
    tagged = {stem: mutagen.File(path) for stem, (path, _, _) in readable.items()}
    commented = {stem: file.tags for stem, file in tagged.items() if file.tags and "title" in file.tags}
    framed = {stem: file.tags for stem, file in tagged.items() if file.tags and "TIT2" in file.tags}
    assert all(tags["title"] == [titles[stem]] for stem, tags in commented.items())
    assert all(str(tags["TIT2"]) == titles[stem] for stem, tags in framed.items())
    has_lyrics = sum("lyrics" in tags for tags in commented.values()) + sum(
        bool(t.getall("USLT")) for t in framed.values()
    )
    assert 0 < has_lyrics < len(commented) + len(framed) < 0.4 * len(readable)


def test_tracks_without_an_id_have_no_recording():
    """A track of the log alone without MBID could not name a file."""
    latents = draw_latents(5, tracks=800)
    names = draw_names(5, latents)
    plan = plan_recordings(5, latents, names)
    assert all(names.track_ids[track] or names.track_mbids[track] for track in plan.tracks.tolist())
    assert len(set(plan.tracks.tolist())) == len(plan.tracks) == 680


def test_lyrics_tell_the_mood():
    """Over many English tracks, the mood whose words occur most is mostly the track's own."""
    latents = draw_latents(5, tracks=800)
    english = np.flatnonzero(latents.artists.language[latents.tracks.artist] == 0)[:60].tolist()
    right = 0
    for track in english:
        words = " ".join(lyric_lines(generator(5, Purpose.LYRICS, track), latents, track)).lower().split()
        hits = [sum(word in {*mood.nouns, *mood.verbs, *mood.adjectives} for word in words) for mood in MOODS]
        right += int(np.argmax(hits)) == latents.tracks.mood[track]
    assert right > 0.9 * len(english)


def test_timed_lines_rise_within_the_track():
    """Three lines of a 100 s track: at 10, 50 and 90 s; empty lines have no time."""
    assert timed_lines(["a", "", "b", "c"], 100) == ["[00:10.00]a", "[00:50.00]b", "[01:30.00]c"]
