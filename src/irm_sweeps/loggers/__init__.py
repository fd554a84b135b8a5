"""Where training curves can be watched besides `history.jsonl`; one small file each."""
