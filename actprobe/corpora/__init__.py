"""Folders, manifests, corpora by name and the phantom corpus as lists of recordings."""

from actprobe.corpora.folder import AUDIO_SUFFIXES, Recording
from actprobe.corpora.named import open_corpus, open_named

__all__ = ["AUDIO_SUFFIXES", "Recording", "open_corpus", "open_named"]
