"""HTTP under uvicorn: a front that answers inference itself, before a FastAPI application for everything else."""
