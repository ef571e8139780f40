"""Why a model answered as it did: how much each input moved the answer."""
