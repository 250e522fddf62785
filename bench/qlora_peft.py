"""qlora_peft.py - do transformers and peft get the scores that silr gets?

    python bench/qlora_peft.py SILR RUN WORK [TEXTS]

RUN is the folder of a finished run with classifier qlora. Its classifier is exported into WORK (silr export
--to peft, --to merged, --to merged --type bf16), loaded by transformers and peft as the README.md beside it
says, and scores the first TEXTS (100) texts of the run's corpus. Their probabilities are compared with
what `silr predict` says of the same texts (four digits), and the scores of the forms with each other. The
other way round, the adapter that peft loaded is saved by peft, put beside silr's qlora.json, and `silr predict`
must print the same lines.

Prints a line for each; exit 1 where a probability is more than 1e-4 from the printed one (which is rounded
by 5e-5), where merged scores differ by more than 1e-4, or where a line differs. A GGUF base is loaded from the
file itself, and the exported names are put onto it.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
warnings.filterwarnings("ignore")
import torch
import transformers
from peft import PeftModel

transformers.utils.logging.disable_progress_bar()
SAME = 1e-4


class Run:
    """What is needed of a run to score its texts elsewhere."""

    def __init__(self, silr, run, work, count):
        self.silr, self.run, self.work, self.count = silr, pathlib.Path(run), pathlib.Path(work), count
        self.about = json.load(open(self.run / "classifier/qlora.json"))
        self.base = pathlib.Path(self.about["model_path"])
        self.gguf = {"gguf_file": self.base.name} if self.base.suffix == ".gguf" else {}
        self.folder = str(self.base.parent if self.gguf else self.base)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def say(self, *words):
        return subprocess.run([self.silr, *map(str, words)], check=True, capture_output=True, text=True).stdout

    def export(self, form, *more):
        place = self.work / (form + ("-bf16" if "bf16" in more else ""))
        return place, self.say("export", self.run, place, "--to", form, *more).strip()

    def texts(self):
        """As the run has them; written for silr predict too."""
        place = self.work / "texts.jsonl"
        self.say("export", self.run, place, "--to", "jsonl", "--limit", self.count)
        return [json.loads(line)["text"] for line in open(place)]

    def predict(self, classifier):
        return self.say("predict", classifier, self.work / "texts.jsonl", "--text", "text", "--id", "id", "--model", self.base)


def score(model, tokenizer, about, texts):
    """As README.md says; without padding where the tokenizer knows no token for it."""
    rows = []
    for text in texts:
        batch = tokenizer([text], truncation=True, max_length=about["max_tokens"], return_tensors="pt")
        batch.pop("token_type_ids", None)
        if batch["input_ids"].shape[1] == 0:  # silr gives an empty text the token that ends one
            batch["input_ids"] = torch.tensor([[tokenizer.eos_token_id or 0]])
            batch["attention_mask"] = torch.ones(1, 1, dtype=torch.long)
        logits = model(**batch).logits
        if logits.dim() == 3:
            first = about["pooling"] == "cls"
            logits = logits[:, 0] if first else logits.mean(1)
        rows.append(logits)
    return torch.cat(rows)


def padded(model, tokenizer, about, texts):
    """The same in batches, as a user would."""
    rows = []
    tokenizer.pad_token_id = model.config.pad_token_id
    for at in range(0, len(texts), 16):
        batch = tokenizer(texts[at : at + 16], padding=True, truncation=True, max_length=about["max_tokens"], return_tensors="pt")
        logits = model(**batch).logits
        if logits.dim() == 3:
            mask = batch["attention_mask"][..., None]
            logits = logits[:, 0] if about["pooling"] == "cls" else (logits * mask).sum(1) / mask.sum(1)
        rows.append(logits)
    return torch.cat(rows)


def probabilities(about, scores):
    columns = len(about["b"])
    logits = scores @ torch.tensor(about["A"]).float().reshape(columns, columns).T + torch.tensor(about["b"]).float()
    if columns == 1:
        first = torch.sigmoid(logits)
        return torch.cat([first, 1 - first], 1)
    return torch.softmax(logits, -1)


def against_predicted(about, scores, lines):
    """The largest difference between probabilities and the printed ones of the printed labels."""
    worst = 0.0
    for row, line in zip(probabilities(about, scores), map(json.loads, lines.splitlines()), strict=True):
        worst = max(worst, abs(row[about["classes"].index(line["label"])].item() - line["score"]))
    return worst


def main():
    silr, folder, work = sys.argv[1:4]
    run = Run(silr, folder, work, int(sys.argv[4]) if len(sys.argv) > 4 else 100)
    failed = False
    texts = run.texts()
    lines = run.predict(run.run)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.folder, padding_side="right", **run.gguf)

    def line(name, value, limit):
        nonlocal failed
        failed = failed or not value <= limit
        print(f"{name:<58} {value:.2e}  {'' if value <= limit else 'TOO MUCH'}")

    place, said = run.export("merged")
    print(said)
    kind = json.load(open(place / "config.json"))["architectures"][0]
    kind = "AutoModelForTokenClassification" if "Token" in kind else "AutoModelForSequenceClassification"
    kind = getattr(transformers, kind)
    with torch.no_grad():
        merged = kind.from_pretrained(place).float().eval()
        m = score(merged, tokenizer, run.about, texts)
        line("merged, transformers: probabilities", against_predicted(run.about, m, lines), SAME)
        p = padded(merged, tokenizer, run.about, texts)
        line("merged, in padded batches: scores", (m - p).abs().max().item(), SAME)

        place, said = run.export("merged", "--type", "bf16")
        print(said)
        b = score(kind.from_pretrained(place).float().eval(), tokenizer, run.about, texts)
        line("merged bf16: scores against those of f32 (not judged)", (m - b).abs().max().item(), float("inf"))

        if not run.about["full"]:
            place, said = run.export("peft", "--base", run.folder)
            print(said)
            base = kind.from_pretrained(run.folder, num_labels=m.shape[1], pad_token_id=merged.config.pad_token_id,
                                        dtype=torch.float32, **run.gguf)
            adapted = PeftModel.from_pretrained(base, str(place)).eval()
            a = score(adapted, tokenizer, run.about, texts)
            line("peft, on transformers' base: probabilities", against_predicted(run.about, a, lines), SAME)
            line("peft against merged: scores", (a - m).abs().max().item(), SAME)

            back = run.work / "from-peft"
            adapted.save_pretrained(back)
            shutil.copy(run.run / "classifier/qlora.json", back)
            differ = sum(x != y for x, y in zip(lines.splitlines(), run.predict(back).splitlines(), strict=True))
            line("saved by peft, read by silr: lines that differ", differ, 0)
    return failed


sys.exit(main())
