"""One script of `ceph`, `rbd`, `rados` and Python steps, played by the same clients against the real cluster and against osd-sim."""
