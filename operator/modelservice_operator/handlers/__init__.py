"""The edge to kopf: it watches and logs in, and nothing else; everything that decides is elsewhere."""
