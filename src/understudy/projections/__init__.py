"""Seeds to bits and ternary features: the part of a student that carries no learned byte."""
