"""Ceph's own test programs, case by case, against osd-sim, beside what the real cluster was seen to do."""
