"""Integer programs to files: one exporter per format, and the check that each file reproduces the reference."""
