"""Kinds of data: tables and images, each read for training and for serving."""
