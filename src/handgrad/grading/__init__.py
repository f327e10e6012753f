"""From a submission to a report: the passes, the evidence, the marks, the diagnosis."""
