"""The command line: one file per verb, each parsing, one library call, printing."""
