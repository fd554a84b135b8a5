"""The sections of the report, the HTML page of a store."""
