"""Artifacts of models that were trained elsewhere: an ONNX file, or a folder in the layout of Hugging Face."""
