"""Waveform -> examples, shape [examples, time, mel] float32."""

from actprobe.frontends.base import PADDINGS, FrontEnd
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.frontends.framing import Framing
from actprobe.frontends.log_mel_frontend import LogMelFrontEnd
from actprobe.frontends.logmel import SvdFrontEnd
from actprobe.frontends.melgram import MelgramFrontEnd, melgram_db
from actprobe.frontends.mm_cnn import MmCnnFrontEnd
from actprobe.frontends.segments import SegmentFrontEnd, cover
from actprobe.frontends.sound import Sound
from actprobe.frontends.stored import StoredExamples
from actprobe.frontends.tracks import join_examples
from actprobe.frontends.vggish import VggishFrontEnd
from actprobe.frontends.waveform import WaveformFrontEnd

__all__ = [
    "PADDINGS",
    "FrameByFrameFrontEnd",
    "FrameFrontEnd",
    "Framing",
    "FrontEnd",
    "LogMelFrontEnd",
    "MelgramFrontEnd",
    "MmCnnFrontEnd",
    "SegmentFrontEnd",
    "Sound",
    "StoredExamples",
    "SvdFrontEnd",
    "VggishFrontEnd",
    "WaveformFrontEnd",
    "cover",
    "join_examples",
    "melgram_db",
]
