"""The shipped networks in floats."""
