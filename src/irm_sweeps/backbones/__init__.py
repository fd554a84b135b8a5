"""Backbones: networks of a representation h_u and a classifier head g_v."""
