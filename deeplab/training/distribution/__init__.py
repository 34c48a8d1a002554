"""Devices and workers: which there are, how they meet, agree, and notice that one is gone."""
