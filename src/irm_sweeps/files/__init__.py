"""Files on disk: written atomically, read without trust, downloaded with a checksum."""
