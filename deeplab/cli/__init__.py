"""The command line: one module per command: flags, one call into the library, an exit code."""
