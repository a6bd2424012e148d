"""The main job with real librbd processes: five scenes of clients that race for one image's lock, judged by event log and bytes."""
