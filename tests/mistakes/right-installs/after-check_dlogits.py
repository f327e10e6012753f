import matplotlib.pyplot as plt
plt.figure(figsize=(4, 4))
plt.imshow(dlogits, cmap="gray")
plt.show()
