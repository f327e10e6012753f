"""The course's configuration, read by nbgrader's commands and by handgrad alike."""

from handgrad import nbgrader as handgrad

c = get_config()  # noqa: F821 - nbgrader defines it

c.CourseDirectory.course_id = "handgrad"
c.CourseDirectory.solution_directory = "solutions"

# The notebook `training` trains for some ten seconds: this is for runs in a kernel.
c.ExecutePreprocessor.timeout = 180

# handgrad's exercises are released with a self-check, their solutions are written without running, and submissions are
# graded in the sandbox. Any other assignment of the course goes through nbgrader's own steps.
c.GenerateAssignment.preprocessors = handgrad.generate_assignment()
c.GenerateSolution.preprocessors = handgrad.generate_solution()
c.Autograde.sanitize_preprocessors = handgrad.sanitize()
c.Autograde.autograde_preprocessors = handgrad.autograde()
c.Autograde.exporter_class = handgrad.TolerantExporter
c.GenerateFeedback.exporter_class = handgrad.FeedbackExporter

# `nbgrader zip_collect` on the archives of Moodle and Canvas; a student's name is the number in the archive. Your own
# pattern is a regular expression with the groups student_id and file_id.
c.ZipCollectApp.collector_plugin = handgrad.Collector
c.ZipCollectApp.extractor_plugin = handgrad.Extractor
c.Collector.patterns = [handgrad.MOODLE, handgrad.CANVAS]
# c.Collector.timezone = "Europe/Berlin"   of the dates in Moodle's grading worksheet (default: this machine's)

# `nbgrader collect` takes files of the student's own only, follows no link, and believes no date that was set back.
c.ExchangeFactory.collect = handgrad.ExchangeCollector

# Settings of handgrad (these are the defaults):
# c.Handgrad.seeds = [...]             hidden seeds (default: drawn once into .handgrad/seeds.json)
# c.Handgrad.sizes = [{"batch_size": 16}]   other sizes for further hidden passes
# c.Handgrad.partial_shape = 0.5       share of the points for right values in another shape
# c.Handgrad.partial_invisible = 0.5   share of the points for a mistake that the loss cannot show
# c.Handgrad.partial_later = 0.5       share of the points for a value that is right at first, not after more steps
# c.Handgrad.tolerance = 1e-4          largest difference allowed, as a share of the largest value
# c.Handgrad.cell_seconds = 10.0       seconds for one cell in one pass
# c.Handgrad.submission_seconds = 60.0 seconds for one submission
# c.Handgrad.memory_mb = 1024          MiB of memory for one submission
# c.Handgrad.plain_modules = []        further modules whose public functions are plain arithmetic
# c.Handgrad.trust_submissions = False grade also if this machine has no isolation
# c.Handgrad.isolation = "best"         "none" grades as on a machine without isolation, to try that out
# c.Handgrad.assistant_instructions = False   True releases AGENTS.md: what a coding assistant may say there
