"""The commands that turn a network into files and figures."""
