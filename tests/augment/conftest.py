import torch

torch.set_num_threads(1)  # the tensors of tests are small; a pool of threads would cost more than it gives
