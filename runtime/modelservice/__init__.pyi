from modelservice.client import connect as connect
from modelservice.client import connect_async as connect_async
from modelservice.inference.predictor import Predictor
from modelservice.stages.local import compress as compress
from modelservice.stages.local import train as train

__version__: str

__all__ = ["__version__", "compress", "connect", "connect_async", "load", "train"]

load = Predictor.load
