"""The small op graph that a student becomes: what is trained, quantized, executed and exported is one program."""
