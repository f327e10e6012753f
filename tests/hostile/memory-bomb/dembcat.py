hog = []
while True:
    hog.append(torch.empty(8_000_000))
