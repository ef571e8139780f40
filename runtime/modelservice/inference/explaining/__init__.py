"""Why a model answers as it does: what each part of a row adds."""
