"""The names of the files in a trial's folder of the store (`irm_sweeps.store.store` shows the whole layout)."""

RESULT = "result.json"
HISTORY = "history.jsonl"
LOG = "log.txt"
CHECKPOINT = "checkpoint.safetensors"
ORIGIN = "origin.json"
