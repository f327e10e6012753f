raise type('<img src=x onload="alert(1)">', (Exception,), {})('$\\href{javascript:alert(1)}{click}$')
