"""Everything is a video: text, images, sound and moving pictures drawn as 64x64 frames, answered by predicting the next."""
import os

# Threads that wait for work must sleep, not spin. OpenMP reads this when torch is first imported. On a machine shared
# with another busy program, spinning made a training step twenty times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
