from handgrad.notebook import execution
from handgrad.sandbox import child_server
execution.MAX_TEXT = execution.MAX_RICH = child_server.MAX_OUTPUTS = 1 << 40
