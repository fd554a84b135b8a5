"""Tables, figures and the report, from the results of a store."""
