"""Writers of networks for other tools: ROM contents, ONNX."""
