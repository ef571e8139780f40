"""Kinds of answers: classes and numbers. numpy only."""
