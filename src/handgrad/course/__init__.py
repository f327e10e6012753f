"""A course's folder, its settings, its gradebook and its workers."""
