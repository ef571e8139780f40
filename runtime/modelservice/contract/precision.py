"""In which numbers a network learns."""

from enum import StrEnum


class Precision(StrEnum):
    """What layers compute in while they learn; weights are float32 in any case."""

    FLOAT32 = "Float32"
    BFLOAT16 = "BFloat16"
