"""What holds recordings, as a `Corpus`: folders, tables, lists, corpora by name, the phantom corpus."""

from actprobe.corpora.corpus import Corpus, open_corpus
from actprobe.corpora.folder import Recording

__all__ = ["Corpus", "Recording", "open_corpus"]
