"""The training steps of step.rs in PyTorch, for the ratio: python3 step_torch.py THREADS, or `cuda` for a GPU.

Needs PyPI's `torch` and `transformers`. Same shapes, loss and optimiser, random weights, no dropout. On a GPU also
with bf16 autocast, and the batches of step.rs.
"""

import sys
import time

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

BATCH, LEN, VOCAB = 16, 128, 1024
on_device = "cuda" in sys.argv
device = "cuda" if on_device else "cpu"
threads = int(sys.argv[1]) if len(sys.argv) > 1 and not on_device else 1
torch.set_num_threads(threads)


def synchronise():
    if on_device:
        torch.cuda.synchronize()


def measure(name, batch, kind, trained, loss):
    adamw = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)

    def step():
        adamw.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=kind == "bf16"):
            value = loss()
        value.backward()
        adamw.step()

    steps = 20 if on_device else 4
    step()
    step()
    synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    synchronise()
    wall, cpu = (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps
    if on_device:
        print(f"{name:<40} {kind:>5} {batch:>6} {batch / wall:>12.0f} {wall * 1e3:>9.2f}", flush=True)
    else:
        scale = 1e6 / (batch * LEN)
        print(f"{name:<40} {cpu * scale:>14.1f} {wall * scale:>14.1f}", flush=True)


def decoder(batch, kind):
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8,
        intermediate_size=768, max_position_embeddings=512, tie_word_embeddings=True)).to(device)
    tokens = torch.randint(0, VOCAB, (batch, LEN), device=device)

    def loss():
        logits = model(tokens, use_cache=False).logits[:, :-1]
        return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB).float(), tokens[:, 1:].reshape(-1))

    measure("decoder 6 × 256", batch, kind, model.parameters(), loss)


def encoder(name, last, batch, kind):
    model = BertModel(BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), add_pooling_layer=False).to(device)
    if last is not None:
        model.requires_grad_(False)
        model.encoder.layer[-last:].requires_grad_(True)
    head = torch.nn.Linear(384, 1, bias=False).to(device)
    tokens = torch.randint(0, 30522, (batch, LEN), device=device)
    labels = (torch.arange(batch, device=device) % 2).float()[:, None]
    trained = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]

    def loss():
        logits = head(model(tokens).last_hidden_state.float().mean(1))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)

    measure(name, batch, kind, trained, loss)


if on_device:
    print(f"{'PyTorch ' + torch.__version__:<40} {'':>5} {'batch':>6} {'examples/s':>12} {'ms/step':>9}")
else:
    print(f"{'threads: ' + str(threads):<40} {'CPU µs/token':>14} {'wall µs/token':>14}")
for kind in ["f32", "bf16"] if on_device else ["f32"]:
    for batch in [16, 64, 256] if on_device else [BATCH]:
        decoder(batch, kind)
        encoder("MiniLM 6 × 384", None, batch, kind)
        encoder("MiniLM 6 × 384, last 2 layers", 2, batch, kind)
