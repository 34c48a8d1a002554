"""The command line: one module a command. Flags in, one call into the library, an exit code out."""
