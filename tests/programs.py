"""The small programs that the package ships for everyone's tests."""

from understudy.testing.programs import SEQUENCE, TEXTS, UTTERANCE, crooked_program, sequence_program, utterance_program

__all__ = ["SEQUENCE", "TEXTS", "UTTERANCE", "crooked_program", "sequence_program", "utterance_program"]
