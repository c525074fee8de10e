"""Recordings decoded: from memory, by an allow-list of formats, never more than is asked for.

Files are other people's: a playlist with an audio suffix cannot make the decoder open files, and only what was decoded
counts, never what a file declares. Light to import: processes that only decode import nothing else of the project.
"""

import io
import wave
from collections.abc import Sequence
from typing import BinaryIO, Literal, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

# N samples

OPEN_OPTIONS = {"format_whitelist": "flac,wav,ogg,mp3,mp4,aac,aiff", "protocol_whitelist": "none"}
SAMPLE_RATES_HZ = range(8_000, 192_001)
CHANNELS = range(1, 9)
LEAST_S = 1.0
MOST_PACKET_ERRORS = 0.1  # share of the packets
LEAST_DECODED = 0.95  # share of the declared length


class UndecodableError(Exception):
    """A recording that cannot be used. Reasons: empty_file, undecodable, no_audio_stream, sample_rate, channels."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Decoded(NamedTuple):
    """What was decoded: mono samples at each rate asked for; sample_rate_hz and channels are the file's own."""

    samples: dict[int, NDArray[np.float32]]
    decoded_s: float
    declared_s: float | None
    sample_rate_hz: int
    channels: int
    packet_errors: int
    status: Literal["decoded", "truncated", "capped"]


def decode(raw: bytes | BinaryIO, *, rates_hz: Sequence[int], max_s: float) -> Decoded:
    """The recording as mono float32 in -1..1 at each of `rates_hz`, its first `max_s` seconds, decoded once.

    Only what was decoded counts, never what the file declares. Status is capped when there was more than max_s,
    truncated when less than 95 % of the declared length was there. Raises UndecodableError, also below one second.
    """
    file = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    file.seek(0)
    if not file.read(1):
        raise UndecodableError("empty_file", "0 bytes")
    file.seek(0)
    try:
        container = av.open(file, mode="r", options=OPEN_OPTIONS, metadata_errors="ignore")
    except av.FFmpegError as error:
        # Not str(error): it names the file handle, another one each time.
        raise UndecodableError("undecodable", error.strerror) from error
    with container:
        stream = _audio_stream(container)
        declared_s = _declared_s(container, file)
        sound = _sound(container, stream, rates_hz, max_s=max_s)
        rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels

    if sound.decoded_s < LEAST_S or sound.errors > MOST_PACKET_ERRORS * sound.packets:
        damage = f"{sound.errors} of {sound.packets} packets are damaged"
        raise UndecodableError("undecodable", f"{sound.decoded_s:.2f} s decoded, {damage}")
    samples = {}
    for wanted_hz, pcm in sound.pcm.items():
        samples_N = np.frombuffer(pcm, dtype=np.float32)[: round(max_s * wanted_hz)]
        if not np.isfinite(samples_N).all():
            raise UndecodableError("undecodable", "samples that are not numbers")
        np.clip(samples_N, -1, 1, out=samples_N)
        samples[wanted_hz] = samples_N
    is_truncated = declared_s is not None and sound.decoded_s < LEAST_DECODED * declared_s
    status: Literal["decoded", "truncated", "capped"]
    status = "capped" if sound.decoded_s > max_s else "truncated" if is_truncated else "decoded"
    return Decoded(samples, min(sound.decoded_s, max_s), declared_s, rate_hz, channels, sound.errors, status)


def _audio_stream(container: av.container.InputContainer) -> av.audio.AudioStream:
    if not container.streams.audio:
        raise UndecodableError("no_audio_stream", f"{len(container.streams)} streams, none of them audio")
    stream = container.streams.audio[0]
    rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if rate_hz not in SAMPLE_RATES_HZ:
        raise UndecodableError("sample_rate", f"{rate_hz} Hz; expected 8,000 to 192,000")
    if channels not in CHANNELS:
        raise UndecodableError("channels", f"{channels} channels; expected 1 to 8")
    return stream


def _declared_s(container: av.container.InputContainer, file: BinaryIO) -> float | None:
    """The length that the file states of itself; null where it states none."""
    if container.format.name == "wav":
        # The decoder takes the length of a WAV file from its size, which hides that its end is missing.
        place = file.tell()
        file.seek(0)
        try:
            with wave.open(file) as header:
                return float(header.getnframes() / header.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError):
            pass  # not plain PCM
        finally:
            file.seek(place)
    return None if container.duration is None else float(container.duration / av.time_base)


class _Sound(NamedTuple):
    """Mono float32 bytes by rate, seconds before resampling, packets and damaged packets."""

    pcm: dict[int, bytearray]
    decoded_s: float
    packets: int
    errors: int


def _sound(
    container: av.container.InputContainer, stream: av.audio.AudioStream, rates_hz: Sequence[int], *, max_s: float
) -> _Sound:
    """Stops with the frame that passes `max_s`. What is decoded before a file breaks off counts."""
    # Channels are averaged here: the resampler's own mix to mono makes floats 3 dB too loud.
    resamplers = {rate_hz: av.AudioResampler(format="fltp", rate=rate_hz) for rate_hz in rates_hz}
    pcm = {rate_hz: bytearray() for rate_hz in rates_hz}  # grows in place: joined arrays would need twice the memory
    decoded_s, count = 0.0, 0
    packets = errors = 0
    try:
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.FFmpegError:
                errors += 1
                continue
            for frame in frames:
                frame.pts = None  # damaged time stamps must not stop the resampler
                count += frame.samples
                decoded_s = count / frame.sample_rate
                for rate_hz, resampler in resamplers.items():
                    _extend(pcm[rate_hz], resampler.resample(frame))
            if decoded_s > max_s:
                break
        else:
            for rate_hz, resampler in resamplers.items():
                _extend(pcm[rate_hz], resampler.resample(None))
    except (av.FFmpegError, ValueError):
        # The file breaks off, or changes its sample rate on the way.
        return _Sound(pcm, decoded_s, packets + 1, errors + 1)
    return _Sound(pcm, decoded_s, packets, errors)


def _extend(pcm: bytearray, frames: Sequence[av.AudioFrame]) -> None:
    for frame in frames:
        pcm += frame.to_ndarray().mean(axis=0).tobytes()
