"""qlora_peers.py - transformers + PEFT (and bitsandbytes) at the work of bench/qlora.c.

    speed GGUF TOKENS TEXTS STEPS f32|nf4    LoRA steps over texts of so many tokens: a line as bench/qlora.c prints
    trace GGUF FOLDER LOSSES                 the steps of `qlora trace` from the same adapter and texts: the largest
                                             difference between its losses (a file) and PEFT's
    padded GGUF TEXTFILE TEXTS               the reference recipe: texts padded to 512 tokens, 16 a step: texts a second
"""
import os
import resource
import sys
import time

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def model_of(gguf, kind="f32"):
    folder, name = os.path.split(gguf)
    m = AutoModelForSequenceClassification.from_pretrained(folder, gguf_file=name, num_labels=1, dtype=torch.float32)
    m.config.pad_token_id = 0
    if kind == "nf4":
        from bitsandbytes.nn import Linear4bit

        for layer in m.model.layers:
            for part in (layer.self_attn, layer.mlp):
                for n, old in list(part.named_children()):
                    if isinstance(old, torch.nn.Linear):
                        new = Linear4bit(old.in_features, old.out_features, bias=False, compute_dtype=torch.float32,
                                         quant_type="nf4", compress_statistics=True)
                        new.weight = type(new.weight)(old.weight.data, requires_grad=False, quant_type="nf4",
                                                      compress_statistics=True)
                        setattr(part, n, new)
        m.to("cpu")
    return m


def lora(m, dropout):
    return get_peft_model(m, LoraConfig(r=8, lora_alpha=32, lora_dropout=dropout, target_modules=["q_proj", "v_proj"],
                                        task_type="SEQ_CLS"))


def step_of(m, lr=1e-4):
    o = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=lr)

    def step(ids, mask):
        z = m(input_ids=ids, attention_mask=mask).logits[:, 0]
        torch.sigmoid(-z).mean().backward()
        o.step()
        o.zero_grad()

    return step


def speed(gguf, tokens, texts, steps, kind):
    m = lora(model_of(gguf, kind), 0.05).train()
    step = step_of(m)
    ids = torch.randint(1, 49000, (texts, tokens))
    mask = torch.ones_like(ids)
    step(ids, mask)
    begun, cpu = time.time(), time.process_time()
    for _ in range(steps):
        step(ids, mask)
    n = steps * ids.numel()
    print(f"peft {tokens} {kind}: {n / (time.time() - begun):.1f} tokens/s, {n / (time.process_time() - cpu):.1f} per "
          f"CPU-second, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def robust(z, y, theta_p=0.8, theta_n=0.3, pi=0.5, lam=-0.001):
    d = theta_p - theta_n
    a, b = (1 - theta_n) * pi / d, theta_n * (1 - pi) / d
    c, e = (1 - theta_p) * pi / d, theta_p * (1 - pi) / d
    pos, neg = torch.sigmoid(-z), torch.sigmoid(z)
    up, un, vp, vn = pos[y > 0].mean(), neg[y > 0].mean(), pos[y < 0].mean(), neg[y < 0].mean()
    p, q = a * up - c * vp, e * vn - b * un
    return sum(torch.where(x > 0, x, lam * x) for x in (p, q))


def trace(gguf, folder, losses):
    m = PeftModel.from_pretrained(model_of(gguf), folder, is_trainable=True).train()
    rows = [[int(x) for x in line.split()] for line in open(f"{folder}/texts")]
    y = torch.tensor([r[0] for r in rows])
    longest = max(len(r) for r in rows) - 1
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, r in enumerate(rows):
        ids[i, : len(r) - 1] = torch.tensor(r[1:])
        mask[i, : len(r) - 1] = 1
    # the score is read at the last token that counts, whatever its id
    last = mask.sum(1) - 1
    o = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.01)
    ours, worst = [float(x) for x in open(losses)], 0.0
    base = m.base_model.model
    for want in ours:
        h = base.model(input_ids=ids, attention_mask=mask).last_hidden_state
        z = base.score(h)[torch.arange(len(rows)), last, 0]
        loss = robust(z, y)
        loss.backward()
        o.step()
        o.zero_grad()
        worst = max(worst, abs(loss.item() - want))
    print(f"trace: {len(ours)} steps, losses {ours[0]:.6f} to {ours[-1]:.6f}, largest difference {worst:.2e}")
    sys.exit(worst > 1e-3)


def padded(gguf, path, texts):
    folder, name = os.path.split(gguf)
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tok.pad_token = tok.pad_token or tok.eos_token
    lines = [line.rstrip("\n") for line in open(path)][:texts]
    x = tok(lines, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    step = step_of(lora(model_of(gguf), 0.05).train())
    begun, cpu = time.time(), time.process_time()
    for i in range(0, len(lines), 16):
        step(x["input_ids"][i : i + 16], x["attention_mask"][i : i + 16])
    print(f"reference {len(lines)} texts: {len(lines) / (time.time() - begun):.3f} texts/s, "
          f"{len(lines) / (time.process_time() - cpu):.3f} per CPU-second")


if __name__ == "__main__":
    what, args = sys.argv[1], sys.argv[2:]
    if what == "speed":
        speed(args[0], int(args[1]), int(args[2]), int(args[3]), args[4])
    elif what == "trace":
        trace(*args)
    elif what == "padded":
        padded(args[0], args[1], int(args[2]))
    else:
        sys.exit(__doc__)
