"""The small programs for images that the package ships for everyone's tests."""

from understudy.testing.image_programs import image_program, pictures

__all__ = ["image_program", "pictures"]
