"""The ranges of values that can occur, channel by channel, over all inputs."""
