"""The host's side: the code that compiles designs and starts simulators."""
