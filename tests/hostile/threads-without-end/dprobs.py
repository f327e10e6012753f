import threading
stop = threading.Event()
try:
    while True:
        threading.Thread(target=stop.wait, daemon=True).start()
finally:
    stop.set()
