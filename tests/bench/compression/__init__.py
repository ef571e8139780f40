"""How small networks become by ``auto``, beside the same small layers from scratch and by distillation alone."""
