"""The training steps of step.rs in PyTorch, for the ratio: python3 step_torch.py THREADS

Needs PyPI's `torch` and `transformers`. Same shapes, loss and optimiser, random weights, no dropout.
"""

import sys
import time

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

BATCH, LEN, VOCAB, STEPS = 16, 128, 1024, 4
threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
torch.set_num_threads(threads)


def measure(name, step):
    step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(STEPS):
        step()
    scale = 1e6 / (STEPS * BATCH * LEN)
    print(f"{name:<40} {(time.process_time() - cpu) * scale:>14.1f} {(time.perf_counter() - wall) * scale:>14.1f}")


def optimiser(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)


def decoder():
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8,
        intermediate_size=768, max_position_embeddings=512, tie_word_embeddings=True))
    tokens = torch.randint(0, VOCAB, (BATCH, LEN))
    adamw = optimiser(model.parameters())

    def step():
        adamw.zero_grad(set_to_none=True)
        logits = model(tokens, use_cache=False).logits[:, :-1]
        torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), tokens[:, 1:].reshape(-1)).backward()
        adamw.step()

    measure("decoder 6 × 256", step)


def encoder(name, last):
    model = BertModel(BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), add_pooling_layer=False)
    if last is not None:
        model.requires_grad_(False)
        model.encoder.layer[-last:].requires_grad_(True)
    head = torch.nn.Linear(384, 1, bias=False)
    tokens = torch.randint(0, 30522, (BATCH, LEN))
    labels = (torch.arange(BATCH) % 2).float()[:, None]
    trained = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    adamw = optimiser(trained)

    def step():
        adamw.zero_grad(set_to_none=True)
        logits = head(model(tokens).last_hidden_state.mean(1))
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
        adamw.step()

    measure(name, step)


print(f"{'threads: ' + str(threads):<40} {'CPU µs/token':>14} {'wall µs/token':>14}")
decoder()
encoder("MiniLM 6 × 384", None)
encoder("MiniLM 6 × 384, last 2 layers", 2)
