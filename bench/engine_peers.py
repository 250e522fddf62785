"""engine_peers.py - the peers of bench/engine.sh: sentence-transformers, onnxruntime, llama.cpp

    engine_peers.py requant GGUF TYPE OUT           the same model with other quantised matrices
    engine_peers.py texts DATA N                    N texts, one a line, spread over the files in DATA
    engine_peers.py st MODEL TEXTS THREADS          sentence-transformers
    engine_peers.py export MODEL OUT                to ONNX
    engine_peers.py onnx MODEL ONNX TEXTS THREADS   onnxruntime, texts sorted by length, 32 a batch
    engine_peers.py llama GGUF PREFIX TEXTS THREADS SLOTS   llama.cpp's server in this process, the prefix kept
    engine_peers.py prefill GGUF TEXTS THREADS      llama.cpp reads texts without a prefix

Each prints one JSON object a line, as bench/engine.c does.
"""

import gzip
import json
import pathlib
import resource
import sys
import time


def report(what, texts, tokens, wall, cpu, first):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"what": what, "texts": texts, "tokens": tokens, "wall": round(wall, 4), "cpu": round(cpu, 4),
                      "peak_mib": peak, "first": [round(float(v), 6) for v in first]}), flush=True)


def lines(path):
    return pathlib.Path(path).read_text(encoding="utf-8").split("\n")[:-1]


def texts(data, n):
    found = []
    for path in sorted(pathlib.Path(data).glob("*/data.jsonl.gz")):
        if path.parent.name.startswith("protein"):
            continue
        with gzip.open(path, "rt", encoding="utf-8") as f:
            found.append([json.loads(line)["text"] for line, _ in zip(f, range(2000))])
    for i in range(int(n)):
        own = found[i % len(found)]
        print(" ".join(own[(i // len(found)) % len(own)].split()) or "empty")


def st(model, path, threads):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(int(threads))
    m = SentenceTransformer(model, device="cpu")
    rows = lines(path)
    m.encode(rows[:32])
    tokens = sum(len(i) for i in m.tokenizer(rows, truncation=True, max_length=m.max_seq_length)["input_ids"])
    wall, cpu = time.perf_counter(), time.process_time()
    v = m.encode(rows, batch_size=32, show_progress_bar=False)
    report("sentence-transformers", len(rows), tokens, time.perf_counter() - wall, time.process_time() - cpu, v[0][:6])


def export(model, out):
    import torch
    from transformers import AutoModel

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.m = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.m(input_ids=input_ids, attention_mask=attention_mask,
                          token_type_ids=token_type_ids).last_hidden_state

    m = States().eval()
    ids = torch.ones(2, 16, dtype=torch.long)
    axes = {0: "n", 1: "t"}
    torch.onnx.export(m, (ids, ids.clone(), torch.zeros_like(ids)), out, dynamo=False,
                      input_names=["input_ids", "attention_mask", "token_type_ids"], output_names=["states"],
                      dynamic_axes={k: axes for k in ["input_ids", "attention_mask", "token_type_ids", "states"]})


def onnx(model, path, rows_path, threads):
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    o = ort.SessionOptions()
    o.intra_op_num_threads = int(threads)
    s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    t = Tokenizer.from_file(str(pathlib.Path(model) / "tokenizer.json"))
    limit = json.loads((pathlib.Path(model) / "sentence_bert_config.json").read_text())["max_seq_length"]
    t.no_padding()
    t.enable_truncation(limit)
    rows = lines(rows_path)

    def encode(some):
        v = np.zeros((len(some), 384), np.float32)
        ids = [e.ids for e in t.encode_batch(some)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for b in range(0, len(order), 32):
            part = order[b:b + 32]
            width = max(len(ids[i]) for i in part)
            x = np.zeros((len(part), width), np.int64)
            mask = np.zeros_like(x)
            for r, i in enumerate(part):
                x[r, :len(ids[i])] = ids[i]
                mask[r, :len(ids[i])] = 1
            y = s.run(None, {"input_ids": x, "attention_mask": mask, "token_type_ids": np.zeros_like(x)})[0]
            y = (y * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            v[part] = y / np.linalg.norm(y, axis=1, keepdims=True)
        return v, sum(map(len, ids))

    encode(rows[:32])
    wall, cpu = time.perf_counter(), time.process_time()
    v, tokens = encode(rows)
    report("onnxruntime", len(rows), tokens, time.perf_counter() - wall, time.process_time() - cpu, v[0][:6])


def serve(gguf, threads, slots, context):
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = gguf
    p.n_ctx, p.n_parallel = context * slots, slots
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.hostnames, p.port, p.ui = ["127.0.0.1"], 0, False
    return xllamacpp.Server(p)


def ask(server, prompts, slots):
    """The server's own completion call, one token each; through HTTP, a few in flight."""
    import concurrent.futures
    import urllib.request

    where = server.listening_address.rstrip("/") + "/completion"

    def one(i):
        body = {"prompt": prompts[i], "n_predict": 1, "cache_prompt": True, "temperature": 0, "n_probs": 20}
        r = urllib.request.Request(where, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(r, timeout=600))

    with concurrent.futures.ThreadPoolExecutor(slots) as pool:
        return list(pool.map(one, range(len(prompts))))


def llama(gguf, prefix, path, threads, slots):
    slots = int(slots)
    server = serve(gguf, int(threads), slots, 2048)
    head = pathlib.Path(prefix).read_text(encoding="utf-8") if prefix else ""
    rows = lines(path)
    ask(server, [head + rows[0]] * slots, slots)  # the prefix is in every slot now
    wall, cpu = time.perf_counter(), time.process_time()
    answers = ask(server, [head + r for r in rows], slots)
    tokens = sum(a.get("timings", {}).get("prompt_n", 0) for a in answers)
    report(f"llama.cpp, {slots} slots", len(rows), tokens, time.perf_counter() - wall, time.process_time() - cpu, [])


def prefill(gguf, path, threads):
    llama(gguf, None, path, threads, 1)


def requant(gguf, kind, out):
    import gguf as g
    import numpy as np

    reader = g.GGUFReader(gguf)
    arch = bytes(reader.fields["general.architecture"].parts[-1]).decode()
    writer = g.GGUFWriter(out, arch)
    for f in reader.fields.values():
        if f.name.startswith("GGUF.") or f.name == "general.architecture":
            continue
        kinds = f.types
        sub = kinds[1] if kinds[0] == g.GGUFValueType.ARRAY else None
        writer.add_key_value(f.name, f.contents(), kinds[0], sub_type=sub)
    to = getattr(g.GGMLQuantizationType, kind)
    for t in reader.tensors:
        x = g.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        if x.ndim > 1:
            writer.add_tensor(t.name, g.quants.quantize(x, to), raw_dtype=to)
        else:
            writer.add_tensor(t.name, x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
