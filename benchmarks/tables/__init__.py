"""The tables of docs/benchmarks.md, by what they are about: each function takes all results and returns Markdown."""
