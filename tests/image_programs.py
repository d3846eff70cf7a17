"""The small programs for images that the package ships for everyone's tests."""

from understudy.testing.image_programs import box_program, branched_program, gated_program, image_program, pictures

__all__ = ["box_program", "branched_program", "gated_program", "image_program", "pictures"]
