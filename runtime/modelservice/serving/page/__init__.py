"""The model's page: what a browser gets at ``/``, one HTML file that holds all it needs."""
