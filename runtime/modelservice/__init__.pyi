from modelservice.inference.predictor import Predictor
from modelservice.stages.local import compress as compress
from modelservice.stages.local import train as train

__version__: str

__all__ = ["__version__", "compress", "load", "train"]

load = Predictor.load
