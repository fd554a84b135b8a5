"""Files on disk: written whole, read without trust, downloaded with a checksum."""
