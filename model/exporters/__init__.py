"""What a network is written as for other tools: ROM contents, ONNX."""
