"""A bundle: one model in one or more formats in a folder that is checked when it is opened; ``spec/bundle.md``."""

from understudy.bundle.answers import FileEvaluation, Prediction
from understudy.bundle.encrypted import encrypt_bundle
from understudy.bundle.manifest import Manifest, ManifestFile
from understudy.bundle.opened import Bundle, LoadedModel
from understudy.bundle.write import write_bundle

__all__ = [
    "Bundle",
    "FileEvaluation",
    "LoadedModel",
    "Manifest",
    "ManifestFile",
    "Prediction",
    "encrypt_bundle",
    "write_bundle",
]
