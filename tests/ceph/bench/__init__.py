"""The same unmodified client, measured against osd-sim and against a real Ceph in one run."""
