"""Loggers: back ends, besides `history.jsonl`, to which training curves are written."""
