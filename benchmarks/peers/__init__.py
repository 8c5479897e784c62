"""Other methods that sample in parallel over time, each from its paper, on our denoiser, grid and DDIM step."""

from benchmarks.peers.base import Peer, Published
from benchmarks.peers.chords import Chords
from benchmarks.peers.paradigms import ParaDiGMS
from benchmarks.peers.parataa import ParaTAA
from benchmarks.peers.srds import SRDS, SRDSPipelined
from benchmarks.peers.underpaint import Underpaint

__all__ = ["SRDS", "Chords", "ParaDiGMS", "ParaTAA", "Peer", "Published", "SRDSPipelined", "Underpaint"]
