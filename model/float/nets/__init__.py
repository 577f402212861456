"""The shipped networks as float modules."""
