"""PyTorch modules, traced by torch.export and read into a float graph."""
