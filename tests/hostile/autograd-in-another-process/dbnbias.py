import os
os.system('true') == 0 or 1/0
os.execv('/bin/true', ['true'])
