#!/usr/bin/env python3
# chat_record.py - asks a chat server everything our client may ask, and keeps what it says.
#
#     bench/chat_record.py BASE_URL SERVER FOLDER MODEL       writes FOLDER/SERVER-CASE.STATUS.json
#
# A file is the body of one reply, byte for byte but for the folders of this machine; the HTTP status is
# in its name. Standard library only. What the cases ask is in CASES; tests/chat/replies/README.md says
# what came of it.
import http.client
import json
import pathlib
import sys
import urllib.parse

SYSTEM = "You sort texts into classes. Answer with the name of one class: sport, money."
USER = "Text: The striker scored twice before half time.\nClass:"
ASK = {
    "model": None,  # the fourth argument
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
    "temperature": 0,
    "max_tokens": 8,
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "label",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": ["sport", "money"]}},
            "required": ["label"],
            "additionalProperties": False,
        },
    },
}


def user(text):
    return [{"role": "user", "content": text}]


# name: what differs from ASK; a key that is None is left out
CASES = {
    "plain": {},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": USER}]}]},
    "logprobs": {"logprobs": True, "top_logprobs": 20, "max_tokens": 2},
    "logprobs-21": {"logprobs": True, "top_logprobs": 21, "max_tokens": 1},
    "max-completion-tokens": {"max_tokens": None, "max_completion_tokens": 3},
    "json-schema": {"response_format": SCHEMA, "max_tokens": 32},
    "json-object-schema": {
        "response_format": {"type": "json_object", "schema": SCHEMA["json_schema"]["schema"]},
        "max_tokens": 32,
    },
    "json-schema-logprobs": {"response_format": SCHEMA, "logprobs": True, "top_logprobs": 5, "max_tokens": 4},
    "utf8-logprobs": {
        "messages": user("Repeat exactly: \U0001f600\U0001f600"),
        "logprobs": True,
        "top_logprobs": 2,
        "max_tokens": 6,
    },
    "hot-logprobs": {"temperature": 2, "seed": 7, "logprobs": True, "top_logprobs": 3, "max_tokens": 3},
    "two": {"n": 2, "temperature": 1, "max_tokens": 3},
    "unknown-parameter": {"silr_does_not_exist": 1},
    "wrong-model": {"model": "no-such-model"},
    "no-messages": {"messages": []},
    "too-long": {"messages": user("word " * 6000)},
    "bad-type": {"max_tokens": "many"},
    "assistant-last": {
        "messages": user(USER) + [{"role": "assistant", "content": "The class is"}],
        "max_tokens": 3,
    },
}


class Server:
    def __init__(self, url):
        at = urllib.parse.urlsplit(url)
        self.base = at.path.rstrip("/")
        self.host, self.port = at.hostname, at.port

    def call(self, method, path, body=None, kind="application/json"):
        c = http.client.HTTPConnection(self.host, self.port, timeout=600)
        c.request(method, self.base + path, body, {"Content-Type": kind, "Authorization": "Bearer none"})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r, data

    def chat(self, ask):
        return self.call("POST", "/chat/completions", json.dumps(ask).encode())


def main():
    server, who = Server(sys.argv[1]), sys.argv[2]
    here = str(pathlib.Path(__file__).resolve().parent.parent).encode()
    folder = pathlib.Path(sys.argv[3])

    def keep(case, reply):
        r, data = reply
        for old in folder.glob(f"{who}-{case}.*.json"):
            old.unlink()
        (folder / f"{who}-{case}.{r.status}.json").write_bytes(data.replace(here, b"/srv"))
        print(f"{case:22} {r.status} {r.getheader('Content-Type')} {data[:100]!r}")
        return r

    r = keep("models", server.call("GET", "/models"))
    print(dict(r.getheaders()))
    for case, change in CASES.items():
        ask = {**ASK, "model": sys.argv[4], **change}
        keep(case, server.chat({k: v for k, v in ask.items() if v is not None}))
    keep("invalid-json", server.call("POST", "/chat/completions", b'{"model": "x", "messages": ['))
    keep("no-such-path", server.call("POST", "/no/such/path", b"{}"))


main()
