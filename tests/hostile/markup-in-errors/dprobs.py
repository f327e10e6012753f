print('<script>alert("student")</script>\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07')
raise ValueError('<script>alert("student")</script><img src=x onerror="alert(1)"> [click](javascript:alert(1))')
