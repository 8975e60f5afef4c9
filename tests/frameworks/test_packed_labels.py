"""`labels=` of packs, by a transformers GPT: who shifts them by one token makes no difference to a training."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from shardline import DataLoader, Pack

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]
VOCABULARY, LENGTH, EOS = 97, 32, 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, VOCABULARY, n) for n in rng.integers(0, 50, 80)]
    path = tmp_path_factory.mktemp("labels") / "tokens.parquet"
    pq.write_table(pa.table({"ids": pa.array(lists, pa.list_(pa.uint16()))}), path, row_group_size=30)
    return path


def model():
    torch.manual_seed(1)
    config = GPT2Config(
        n_layer=2,
        n_head=2,
        n_embd=32,
        n_positions=LENGTH,
        vocab_size=VOCABULARY,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation="eager",
    )
    return GPT2LMHeadModel(config).double()


def attention(batch):
    """Each token sees those before it in its document: 0 where it does, and as little as can be elsewhere."""
    segments = batch["segment_ids"]
    seen = (segments[:, :, None] == segments[:, None, :]) & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    return torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -1e9)[:, None]


def run(data, labels, loss_of, **more):
    """The loss of every step of two epochs."""
    pack = Pack("ids", seq_len=LENGTH, mode="wrap", eos=EOS, labels=labels, **more)
    loader = DataLoader(data, pack=pack, batch_size=4, shuffle=True, shuffle_seed=2)
    net, losses = model(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(2):
        for batch in loader:
            inputs = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"]}
            loss = loss_of(net, inputs | {"attention_mask": attention(batch)}, batch["labels"])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
    return torch.tensor(losses)


def shifted_by_the_model(net, inputs, labels):
    return net(**inputs, labels=labels).loss


def shifted_by_the_loader(net, inputs, labels):
    return F.cross_entropy(net(**inputs).logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)


def test_both_shifts_train_alike(data):
    of_model, of_loader = run(data, "input", shifted_by_the_model), run(data, "next", shifted_by_the_loader)
    # A model of float64, whose loss transformers takes in float32.
    torch.testing.assert_close(of_model, of_loader, rtol=1e-6, atol=0)
    for other in (run(data, "next", shifted_by_the_model), run(data, "input", shifted_by_the_loader)):
        assert (other - of_model).abs().max() > 0.01, "shifted twice, or not at all, is another training"


def test_an_extra_token_is_a_label_more(data):
    """The last place of a sequence has a label too where its document goes on."""
    loss = run(data, "next", shifted_by_the_loader, extra_token=True)
    assert not torch.allclose(loss, run(data, "next", shifted_by_the_loader))
    kept = {}
    for extra in (False, True):
        pack = Pack("ids", seq_len=LENGTH, mode="wrap", eos=EOS, labels="next", extra_token=extra)
        batches = list(DataLoader(data, pack=pack, batch_size=4))
        kept[extra] = torch.cat([batch["labels"] for batch in batches])
    assert torch.equal(kept[False][:, :-1], kept[True][:, :-1])
    assert (kept[False][:, -1] == -100).all()
    assert (kept[True][:, -1] != -100).any()
