"""Protocols that clients speak; a transport carries what each of them offers it."""

from typing import Final

from modelservice.serving.protocols.base import InferenceProtocol
from modelservice.serving.protocols.open_inference import OpenInference
from modelservice.serving.protocols.tensorflow import TensorFlow

PROTOCOLS: Final[tuple[InferenceProtocol, ...]] = (TensorFlow(), OpenInference())
"""In the order in which ``/docs`` shows them."""
