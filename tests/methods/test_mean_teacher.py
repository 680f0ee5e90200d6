from math import exp

import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.methods._step import ramp_up
from groundglass.methods.mean_teacher import Config, MeanTeacher

OUTPUTS = (3, 12)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def labelled():
    return Labelled(torch.rand(2, 1, 8, 8), torch.tensor([3, 12], dtype=torch.uint8).repeat(64).view(2, 8, 8))


def unlabelled():
    return Unlabelled(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))


def consistency(method, progress):
    (update,) = method.updates(labelled(), unlabelled(), progress)
    return update.losses["consistency"]


def test_teacher_moves_by_one_minus_alpha_toward_the_student():
    method = MeanTeacher(nn.Conv2d(1, 2, 1), OUTPUTS, Config(ema=0.75))
    with torch.no_grad():
        method.teacher.weight.fill_(4)
        method.student.weight.fill_(8)
    method.after_step(Progress(100, 200))
    assert (method.teacher.weight == 0.75 * 4 + 0.25 * 8).all()
    assert (method.student.weight == 8).all()


def test_the_teacher_is_the_students_mean_at_first_and_forgets_where_it_began():
    """Of 1, 2, 3 the mean; then alpha = 0.7, as 1 - 1 / (t + 1) is 0.75: 0.7 * 2 + 0.3 * 4."""
    method = MeanTeacher(nn.Conv2d(1, 2, 1), OUTPUTS, Config(ema=0.7))
    for step, expected in enumerate((1.0, 1.5, 2.0, 2.6)):
        with torch.no_grad():
            method.student.weight.fill_(step + 1)
        method.after_step(Progress(step, 10))
        torch.testing.assert_close(method.teacher.weight, torch.full_like(method.teacher.weight, expected))


def test_batch_statistics_are_copied():
    method = MeanTeacher(network(), OUTPUTS)
    method.train().student(torch.rand(2, 1, 8, 8))
    method.after_step(Progress(0, 1))
    assert method.teacher[1].num_batches_tracked == 1
    assert torch.equal(method.teacher[1].running_mean, method.student[1].running_mean)
    assert torch.equal(method.teacher[1].running_var, method.student[1].running_var)


def test_the_teacher_predicts():
    method = MeanTeacher(network(), OUTPUTS).eval()
    image = torch.rand(1, 1, 8, 8)
    before = method.predict(image)
    with torch.no_grad():
        method.student[3].weight.zero_()
    assert torch.equal(method.predict(image), before)
    with torch.no_grad():
        method.teacher[3].weight.zero_()
    assert not torch.equal(method.predict(image), before)


def test_the_teacher_is_never_in_training_mode_and_has_no_gradient():
    method = MeanTeacher(network(), OUTPUTS).train()
    assert method.student.training
    assert not any(module.training for module in method.teacher.modules())
    assert not any(weight.requires_grad for weight in method.teacher.parameters())
    next(method.updates(labelled(), unlabelled(), Progress(0, 1)))
    assert method.teacher[1].num_batches_tracked == 0


def test_consistency_is_the_mean_squared_gap_of_probabilities_times_its_ramped_weight():
    """Student (1/2, 1/2), teacher (4/5, 1/5): 0.09, times 0.1 at the end of the ramp and e^-5 of that at its start."""
    method = MeanTeacher(nn.Conv2d(1, 2, 1), OUTPUTS, Config(consistency=0.1, ramp_up=0.5))
    with torch.no_grad():
        for weight in method.parameters():
            weight.zero_()
        method.teacher.bias.copy_(torch.tensor([0.8, 0.2]).log())
    assert consistency(method, Progress(5, 10)).item() == pytest.approx(0.1 * 0.09)
    assert consistency(method, Progress(0, 10)).item() == pytest.approx(0.1 * 0.09 * exp(-5), rel=1e-4)


def test_consistency_moves_the_student_only():
    method = MeanTeacher(network(), OUTPUTS).train()
    with torch.no_grad():
        method.teacher[3].weight.neg_()
    consistency(method, Progress(1, 1)).backward()
    assert all(weight.grad is None for weight in method.teacher.parameters())
    assert method.student[3].weight.grad.any()


def test_the_weight_rises_to_1_over_a_share_of_the_training():
    assert ramp_up(Progress(0, 100), 0.4) == pytest.approx(exp(-5))
    assert ramp_up(Progress(20, 100), 0.4) == pytest.approx(exp(-5 * 0.25))
    assert ramp_up(Progress(40, 100), 0.4) == ramp_up(Progress(99, 100), 0.4) == 1
    assert ramp_up(Progress(0, 100), 0) == 1


class Seen(nn.Module):
    """Remembers the images it was shown."""

    def __init__(self):
        super().__init__()
        self.images = []
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, image):
        self.images.append(image)
        return self.head(image)


def test_student_and_teacher_see_different_noise_of_the_stated_strength_and_labels_come_without():
    method = MeanTeacher(Seen(), OUTPUTS, Config(noise=0.1))
    image, known = Unlabelled(torch.full((2, 1, 64, 64), 0.5)), labelled()
    next(method.updates(known, image, Progress(0, 1)))
    (taught,), (noisy, plain) = method.teacher.images, method.student.images
    assert (taught - 0.5).std().item() == pytest.approx(0.1, rel=0.05)
    assert (noisy - 0.5).std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(((taught - 0.5) * (noisy - 0.5)).mean()) < 1e-3
    assert torch.equal(plain, known.image)


@pytest.mark.parametrize(("seed", "step", "same"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_noise_depends_on_seed_and_step_alone(seed, step, same):
    def noise(seed, step):
        method = MeanTeacher(Seen(), OUTPUTS, Config(seed=seed))
        next(method.updates(labelled(), unlabelled(), Progress(step, 10)))
        return method.teacher.images[0]

    assert torch.equal(noise(0, 0), noise(seed, step)) == same


def test_without_unlabelled_slices_it_says_what_to_take_instead():
    with pytest.raises(UsageError, match=r"no unlabelled slices.*take the method 'supervised'"):
        next(MeanTeacher(network(), OUTPUTS).updates(labelled(), None, Progress(0, 1)))
