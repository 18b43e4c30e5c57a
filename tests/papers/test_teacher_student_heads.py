"""Teacher, student, their losses and their batches."""

import pytest
import torch

from nlcore.errors import InputError
from nlcore.papers.teacher_student.heads import (
    CleaningNetwork,
    TeacherStudent,
    VeitModel,
    cleaning_loss,
    joint_loss,
    pretraining_loss,
    teacher_labels,
    veit_loss,
)
from nlcore.papers.teacher_student.stages import cycled
from nlcore.training import mixed


@pytest.fixture
def heads():
    return TeacherStudent(6, 4, hidden=5, activation="sigmoid", generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(10, 6, generator=draw), (torch.rand(10, 4, generator=draw) < 0.3).float()


@pytest.mark.parametrize("threshold", [0.4, None])
def test_the_teachers_labels_carry_no_gradient(heads, batch, threshold):
    assert not teacher_labels(heads.teacher(batch[0]), threshold=threshold).requires_grad
    joint_loss(1, threshold=threshold, cleaning_weight=0.0)(heads, batch).backward()
    assert all(p.grad.abs().sum() == 0 for p in heads.teacher.parameters())
    assert all(p.grad.abs().sum() > 0 for p in heads.student.parameters())


def gradients(model, value):
    """Of all weights, by `value.backward()`."""
    model.zero_grad()
    value.backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_the_student_takes_clean_labels_on_v_and_the_teachers_on_t(heads, batch):
    """The gradients in closed form are those of Eqs. 3 and 4 written out."""
    features, clean = batch
    c, p = (torch.sigmoid(head(features)) for head in (heads.teacher, heads.student))
    targets = torch.cat([clean[:3], (c[3:].detach() >= 0.4).float()])
    cross = lambda q, o: -(q * o.log() + (1 - q) * (1 - o).log()).mean()
    expected = gradients(heads, 0.1 * cross(clean[:3], c[:3]) + cross(targets, p))
    assert_same(gradients(heads, joint_loss(3)(heads, batch)), expected)


def test_veits_losses_written_out(batch):
    features, clean = batch
    clean, noisy = clean.clone(), (torch.rand(10, 4, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    clean[:, 2] = -1
    cleaner = CleaningNetwork(6, 4, embedding=3, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(cleaner.residual[0].bias, 0.1)
    model, inputs = VeitModel(cleaner, torch.nn.Linear(6, 4), 6), torch.cat([features, noisy], dim=1)
    known = clean[:4] >= 0

    def written_out():
        cleaned, logits = model(inputs)
        targets = torch.cat([clean[:4], cleaned[4:].detach()])
        cross = torch.nn.functional.binary_cross_entropy_with_logits(logits[targets >= 0], targets[targets >= 0])
        return 0.1 * (cleaned[:4] - clean[:4]).abs()[known].mean() + cross

    assert_same(gradients(model, veit_loss(4)(model, (inputs, clean))), gradients(model, written_out()))
    alone = (cleaner(features, noisy) - clean).abs()[clean >= 0].mean()
    assert_same(gradients(model, cleaning_loss(model, (inputs, clean))), gradients(model, alone))


def test_pretraining_trains_each_head_as_if_alone(heads, batch):
    pretraining_loss(heads, batch).backward()
    together = [p.grad.clone() for p in heads.teacher.parameters()]
    heads.zero_grad()
    torch.nn.functional.binary_cross_entropy_with_logits(heads.teacher(batch[0]), batch[1]).backward()
    assert all(torch.allclose(a, p.grad) for a, p in zip(together, heads.teacher.parameters(), strict=True))


def test_the_linear_variant_is_a_linear_map():
    head = TeacherStudent(3, 2, hidden=4, activation="linear", generator=torch.Generator().manual_seed(0)).student
    a, b, zero = torch.randn(1, 3), torch.randn(1, 3), torch.zeros(1, 3)
    assert torch.allclose(head(a + b) + head(zero), head(a) + head(b), atol=1e-5)


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5])
def test_a_threshold_outside_of_0_and_1_is_refused(threshold):
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        teacher_labels(torch.zeros(1, 1), threshold=threshold)


@pytest.mark.parametrize("verified", [1, 3, 6, 50])
def test_batches_hold_the_ratio_however_few_are_verified(verified):
    sampler = mixed(torch.arange(verified), torch.arange(100, 400), (6, 58), generator=torch.Generator().manual_seed(0))
    for epoch in range(2):
        batches = sampler(epoch)
        assert len(batches) == 5
        assert all((b[:6] < 100).all() and (b[6:] >= 100).all() and len(b) == 64 for b in batches)


def test_a_small_set_is_gone_through_again_and_every_batch_is_full():
    batches = cycled(torch.arange(5), 4, 10, generator=torch.Generator().manual_seed(0))(0)
    assert [len(b) for b in batches] == [4] * 10
    assert torch.cat(list(batches)).bincount().tolist() == [8] * 5


def test_veits_cleaner_starts_with_the_noisy_labels_and_takes_no_gradient_from_the_classifier(batch):
    draw = torch.Generator().manual_seed(0)
    noisy = (torch.rand(10, 4, generator=draw) < 0.5).float()
    cleaner = CleaningNetwork(6, 4, embedding=3, generator=draw)
    assert torch.equal(cleaner(batch[0], noisy), noisy)
    model = VeitModel(cleaner, torch.nn.Linear(6, 4), 6)
    veit_loss(2, cleaning_weight=0.0)(model, (torch.cat([batch[0], noisy], dim=1), batch[1])).backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in cleaner.parameters())


def test_a_cell_that_veits_cleaner_clips_can_come_back():
    cleaner = CleaningNetwork(2, 1, embedding=2, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(cleaner.residual[0].bias, 3.0)
    cleaned = cleaner(torch.zeros(1, 2), torch.zeros(1, 1))
    assert cleaned.item() == 1
    cleaned.sum().backward()
    assert cleaner.residual[0].bias.grad.item() == 1


def test_cells_that_nobody_verified_move_no_head(heads, batch):
    features, clean = batch
    clean = clean.clone()
    clean[:3, 1] = -1
    joint_loss(3)(heads, (features, clean)).backward()
    with_unknown = [p.grad.clone() for p in heads.teacher.parameters()]
    assert with_unknown[-1][1] == 0 and (with_unknown[-1][[0, 2, 3]] != 0).all()
    heads.zero_grad()
    clean[3:] = -1  # of T the teacher's labels are used, whatever is there
    joint_loss(3)(heads, (features, clean)).backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(with_unknown, heads.teacher.parameters(), strict=True))


def test_veits_losses_leave_out_cells_that_nobody_verified(batch):
    features, clean = batch
    clean, noisy = clean.clone(), torch.zeros(10, 4)
    clean[:, 2] = -1
    cleaner = CleaningNetwork(6, 4, embedding=3, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(cleaner.residual[0].bias, 0.5)
    model = VeitModel(cleaner, torch.nn.Linear(6, 4), 6)
    inputs = torch.cat([features, noisy], dim=1)
    for loss in (cleaning_loss, veit_loss(10)):
        model.zero_grad()
        loss(model, (inputs, clean)).backward()
        assert cleaner.residual[0].bias.grad[2] == 0 and (cleaner.residual[0].bias.grad[[0, 1, 3]] != 0).all()
    assert model.classifier.bias.grad[2] == 0 and (model.classifier.bias.grad[[0, 1, 3]] != 0).all()
