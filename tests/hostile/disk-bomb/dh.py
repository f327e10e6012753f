import os
number = 0
while True:
    number += 1
    os.mkdir(f'folder{number}')
