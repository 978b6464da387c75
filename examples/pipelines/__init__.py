"""Pipelines over real data, each with its own README."""
