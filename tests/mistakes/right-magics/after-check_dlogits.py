plt.figure(figsize=(4, 4))
plt.imshow(dlogits.detach(), cmap='gray');
