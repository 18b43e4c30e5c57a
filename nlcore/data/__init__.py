"""Where images, labels and features come from: COCO, CelebA, the embedded set, the synthetic benchmark."""
