"""The small programs of tokens that the package ships for everyone's tests."""

from understudy.testing.token_programs import token_program

__all__ = ["token_program"]
