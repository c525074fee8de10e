"""Synthesised recordings in numpy: beat, chords, voice and noise follow a track's tempo, key, genre, mood and energy.

Tones are read from one period of the genre's waveform, so that an overtone costs nothing more.
"""

# V voices, N samples

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.sample.latents import MAJOR_KEYS
from resources.sample.streams import Floats, Ints, choose
from resources.sample.vocabulary import Sound

Samples = NDArray[np.float32]

SAMPLE_RATE_HZ = 22_050
TABLE_SAMPLES = 4_096
CHORD_BEATS = 2
MAJOR_SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
MINOR_SCALE = np.array([0, 2, 3, 5, 7, 8, 10])
PROGRESSION = (0, 3, 0, 4)  # degrees: the tonic comes twice, so that the key can be heard
VOICE_MIDI = 72
VOICE_OVERTONES = (1.0, 0.5, 0.25, 0.3, 0.1)
MELODY_SHARES = np.array([0.34, 0.08, 0.2, 0.08, 0.18, 0.06, 0.06])  # of the scale's degrees
KICK_MIDI = 36  # lowered into the key's tonic, as producers tune their drums
VIBRATO_HZ = 5.5
A4_HZ, A4_MIDI = 440.0, 69
DRUM_SAMPLES = int(0.12 * SAMPLE_RATE_HZ)
ATTACK_SAMPLES = 120
QUIETEST_NOISE = 0.003


@dataclass(frozen=True, slots=True)
class Score:
    """What to play: tempo (bpm), key 0-23 (from 12 on minor), energy 0-1, with a voice or without, on which sound."""

    tempo_bpm: float
    key: int
    energy: float
    is_vocal: bool
    sound: Sound


def synthesise(rng: np.random.Generator, score: Score, *, duration_s: float) -> Samples:
    """[N] mono samples in -1..1 at 22,050 Hz."""
    count = int(duration_s * SAMPLE_RATE_HZ)
    beat_samples = 60 * SAMPLE_RATE_HZ / score.tempo_bpm
    beats = np.rint(np.arange(0, count, beat_samples)).astype(np.int64)
    mix = _chords(score, beats, count)
    if score.is_vocal:
        mix += 0.5 * _voice(rng, score, beats, count)
    _add_drums(rng, mix, score, beats, beat_samples)
    mix += (QUIETEST_NOISE + score.sound.noise) * rng.standard_normal(count, dtype=np.float32)
    return mix * np.float32((0.25 + 0.65 * score.energy) / np.abs(mix).max())


def _chords(score: Score, beats: Ints, count: int) -> Samples:
    """Triads of the key over its tonic an octave below, struck anew on every beat."""
    table = _period(score.sound.overtones)
    chords = np.empty(count, dtype=np.float32)
    fade = _fade(score.sound.fade_per_beat, 60 / score.tempo_bpm)
    for number, start in enumerate(beats[::CHORD_BEATS]):
        degree = PROGRESSION[number % len(PROGRESSION)]
        degrees = np.array([-7, degree, degree + 2, degree + 4])
        notes = score.sound.register_midi + _scale_notes(score.key, degrees)
        stop = beats[CHORD_BEATS * (number + 1)] if CHORD_BEATS * (number + 1) < len(beats) else count
        chords[start:stop] = _tones(table, notes, stop - start).sum(axis=0) / len(notes)
    for start, stop in zip(beats, [*beats[1:], count], strict=True):
        chords[start:stop] *= fade[: stop - start]
    return chords


def _voice(rng: np.random.Generator, score: Score, beats: Ints, count: int) -> Samples:
    """A melody in the key's scale, one note a beat, with vibrato."""
    table = _period(VOICE_OVERTONES)
    voice = np.empty(count, dtype=np.float32)
    degrees = choose(rng, MELODY_SHARES, len(beats))
    vibrato = 0.15 * np.sin(2 * np.pi * VIBRATO_HZ / SAMPLE_RATE_HZ * np.arange(count, dtype=np.float32))
    for degree, start, stop in zip(degrees, beats, [*beats[1:], count], strict=True):
        note = VOICE_MIDI + _scale_notes(score.key, np.array([degree]))
        voice[start:stop] = _tones(table, note, stop - start, bend=vibrato[start:stop])[0]
    return voice


def _tones(table: Samples, midi_V: Ints, count: int, bend: Samples | None = None) -> Samples:
    """[V, N] tones of the waveform `table`; `bend` shifts their phase, in periods."""
    phase_VN = (_hz(midi_V) * TABLE_SAMPLES / SAMPLE_RATE_HZ).astype(np.float32)[:, None] * np.arange(
        count, dtype=np.float32
    )
    if bend is not None:
        phase_VN += TABLE_SAMPLES * bend
    tones_VN: Samples = table[phase_VN.astype(np.int32) & (TABLE_SAMPLES - 1)]
    return tones_VN


def _period(overtones: tuple[float, ...]) -> Samples:
    """One period of the waveform with these overtones."""
    angle = 2 * np.pi * np.arange(TABLE_SAMPLES) / TABLE_SAMPLES
    waves = np.sin(np.arange(1, len(overtones) + 1)[:, None] * angle) * np.array(overtones)[:, None]
    period: Samples = (waves.sum(axis=0) / sum(overtones)).astype(np.float32)
    return period


def _hz(midi: Ints) -> Floats:
    frequencies: Floats = A4_HZ * 2.0 ** ((midi - A4_MIDI) / 12)
    return frequencies


def _scale_notes(key: int, degrees: Ints) -> Ints:
    """Semitones above C of the scale's degrees (0 the tonic, 7 its octave)."""
    scale = MAJOR_SCALE if key < MAJOR_KEYS else MINOR_SCALE
    tonic = (key + 6) % 12 - 6  # between F# below and F above, so that keys share a register
    semitones: Ints = tonic + scale[degrees % 7] + 12 * (degrees // 7)
    return semitones


def _fade(per_beat: float, beat_s: float) -> Samples:
    """Loudness within one beat: a quick rise, then exponential fading."""
    at_beat = np.arange(int(beat_s * SAMPLE_RATE_HZ) + 2, dtype=np.float32) / (beat_s * SAMPLE_RATE_HZ)
    fade: Samples = np.exp(np.float32(-0.6 - per_beat) * at_beat)
    fade[:ATTACK_SAMPLES] *= np.linspace(0, 1, ATTACK_SAMPLES, dtype=np.float32)
    return fade


def _add_drums(rng: np.random.Generator, mix: Samples, score: Score, beats: Ints, beat_samples: float) -> None:
    """A kick on every beat, a snare on every second, a hat between beats of energetic tracks; in place."""
    time_s = np.arange(DRUM_SAMPLES, dtype=np.float32) / SAMPLE_RATE_HZ
    hiss = rng.standard_normal(DRUM_SAMPLES, dtype=np.float32)
    kick_hz = float(_hz(KICK_MIDI + _scale_notes(score.key, np.array([0])))[0])
    drum = np.sin(2 * np.pi * (kick_hz * time_s + 3 * (1 - np.exp(-30 * time_s)))) * np.exp(-22 * time_s)
    kick = drum + 0.2 * hiss * np.exp(-200 * time_s)
    snare = hiss * np.exp(-35 * time_s)
    loudness = score.sound.drums * (0.4 + 0.6 * score.energy)
    for number, start in enumerate(beats):
        _add(mix, start, loudness * kick)
        if number % 2:
            _add(mix, start, 0.5 * loudness * snare)
        if score.energy > 0.65:
            _add(mix, start + int(beat_samples / 2), 0.12 * loudness * snare)


def _add(mix: Samples, start: int, hit: Samples) -> None:
    room = mix[start : start + len(hit)]
    room += hit[: len(room)]
