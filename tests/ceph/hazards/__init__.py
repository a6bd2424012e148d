"""Hazards of the librbd that is shipped, played with Ceph's own programs at osd-sim: docs/hazards.md shows each as a session to be copied."""
