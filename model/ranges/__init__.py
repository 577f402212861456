"""What values can occur, channel by channel, whatever comes in."""
