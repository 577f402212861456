"""The commands that train and quantize."""
