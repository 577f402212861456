"""The commands from a network to files and figures."""
