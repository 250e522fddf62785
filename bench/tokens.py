#!/usr/bin/env python3
# tokens.py - are silr's tokens those of the peers, and how fast does it make them?
#
# bench/tokens.sh runs it, in an environment that has tokenizers, gguf and xllamacpp (llama.cpp):
#
#     tokens.py DRIVER WORK SHARED STRINGS SECONDS [FAMILY...]
#
# A family is a vocabulary and a peer. GGUF vocabularies are held against llama.cpp; from the same
# vocabularies a tokenizer.json is written as the model's publishers have it, and held against the
# tokenizers library. Strings: all texts of SHARED/data (whole, and cut at random places), code, and
# generated ones: scripts, emoji, spaces, digits, marks, broken UTF-8. What must differ: the library's
# NFD, NFKC and StripAccents know Unicode 9 (U+32FF is newer), it reads some scores of a vocabulary one
# unit off in the last place, and llama.cpp goes its own way in rare characters for WordPiece and
# falcon, and for SmolLM2 round bytes that its vocabulary lacks (silr does as the library does).
import base64, ctypes, glob, gzip, json, os, random, struct, subprocess, sys, time

driver, work, shared, how_many, seconds = sys.argv[1:4] + [int(sys.argv[4]), float(sys.argv[5])]
only = sys.argv[6:]
models = os.path.join(work, 'models')

# --- strings ------------------------------------------------------------------------------------

def texts_of(value, out):
    if isinstance(value, str):
        if len(value) > 20:
            out.append(value)
    elif isinstance(value, dict):
        for v in value.values():
            texts_of(v, out)
    elif isinstance(value, list):
        for v in value:
            texts_of(v, out)

def real_texts():
    out = []
    for path in sorted(glob.glob(os.path.join(shared, 'data', '*', '*.jsonl*'))):
        opener = gzip.open if path.endswith('.gz') else open
        with opener(path, 'rt', encoding='utf-8', errors='replace') as f:
            for line in f:
                texts_of(json.loads(line), out)
    for path in sorted(glob.glob(os.path.join(os.path.dirname(__file__), '..', 'src', '*', '*.[ch]'))):
        with open(path, encoding='utf-8', errors='replace') as f:
            out += [p for p in f.read().split('\n\n') if p]
    return list(dict.fromkeys(out))

ranges = [(0x20, 0x7e), (0x20, 0x7e), (0xa0, 0x17f), (0x180, 0x24f), (0x250, 0x2ff), (0x300, 0x36f), (0x370, 0x3ff),
          (0x400, 0x52f), (0x531, 0x589), (0x591, 0x5f4), (0x600, 0x6ff), (0x900, 0x97f), (0x980, 0x9fb),
          (0xb80, 0xbfa), (0xe01, 0xe5b), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x1f00, 0x1ffe),
          (0x2000, 0x206f), (0x2070, 0x20bf), (0x2100, 0x218b), (0x2190, 0x23ff), (0x2460, 0x27bf), (0x3000, 0x30ff),
          (0x3131, 0x318e), (0x3200, 0x32fe), (0x3300, 0x33ff), (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0xf900, 0xfad9), (0xfb00, 0xfb06),
          (0xfe00, 0xfe0f), (0xff01, 0xffee), (0x1d400, 0x1d7ff), (0x1f300, 0x1f64f), (0x1f900, 0x1f9ff), (0x20000, 0x2a6d6)]
bits = [' ', '  ', '   ', '\n', '\r\n', '\n\n', '\t', ' \n ', '\u00a0', '\u2003', '\u3000', '\u200b', '\u200d', '\ufeff', '\x85',
        "'s", "'S", "n't", "'ll", "'Re", "\u2019s", '1', '12', '123', '1234', '3.14', '\u00b2', '\u00bd', '\u0664\u0665', '\u2167',
        'e\u0301', '\u00e9', '\u1e69\u0323', '\u212b', '\ufb01', '\u0130', '\u0131', '\u1e9e', '\u03a3\u03c3\u03c2',
        '\U0001f468\u200d\U0001f469\u200d\U0001f467', '\U0001f1e9\U0001f1ea', '\u2764\ufe0f', '\u4e2d\u6587', '\uac00\ub098',
        '...', '!?', '---', '#include <stdio.h>', 'if (x != 0) {', '_', '__init__', '\\n', '</s', '<unk', '[SEP', '<|', '\u2581',
        '<0x0A>', '\x00', '\x01', '\x7f', '\ufffd', 'http://a.b/c?d=e&f', 'foo@bar.org', 'CamelCase', 'ALLCAPS', 'word', ' the', 'ing']

def generated(rng, n):
    out = []
    while len(out) < n:
        kind = rng.randrange(4)
        if kind == 0: # one script
            lo, hi = rng.choice(ranges)
            s = ''.join(chr(rng.randint(lo, hi)) if rng.random() < .85 else ' ' for _ in range(rng.randint(1, 30)))
        elif kind == 1: # pieces
            s = ''.join(rng.choice(bits) for _ in range(rng.randint(1, 12)))
        elif kind == 2: # all mixed
            s = ''.join(rng.choice(bits) if rng.random() < .4 else chr(rng.randint(*rng.choice(ranges)))
                        for _ in range(rng.randint(1, 25)))
        else: # broken bytes
            b = bytearray(''.join(rng.choice(bits) if rng.random() < .5 else chr(rng.randint(*rng.choice(ranges)))
                                  for _ in range(rng.randint(1, 15))).encode('utf-8', 'surrogatepass'))
            for _ in range(rng.randint(1, 4)):
                if b:
                    i = rng.randrange(len(b))
                    if rng.random() < .5:
                        del b[i]
                    else:
                        b[i] = rng.randrange(256)
            out.append(bytes(b))
            continue
        out.append(s.encode('utf-8', 'surrogatepass'))
    return out

def strings():
    rng = random.Random(5)
    real = real_texts()
    out = [s.encode() for s in real if len(s) <= 300]
    while real and len(out) < how_many * 0.55: # parts of them
        s = rng.choice(real)
        a = rng.randrange(len(s))
        out.append(s[a:a + rng.randint(1, 120)].encode())
    rng.shuffle(out)
    out = out[:int(how_many * .55)]
    out += generated(rng, how_many - len(out))
    return real, out

# --- silr ----------------------------------------------------------------------------------------

def pack(items):
    return b''.join(struct.pack('<I', len(s)) + s for s in items)

def silr(model, data, *args):
    r = subprocess.run([driver, model, *args], input=data, stdout=subprocess.PIPE)
    if r.returncode:
        raise SystemExit(f'tokens: the driver failed on {model}')
    out, at, raw = [], 0, memoryview(r.stdout)
    while at < len(raw):
        n, = struct.unpack_from('<I', raw, at)
        out.append(struct.unpack_from(f'<{n}I', raw, at + 4))
        at += 4 + 4 * n
    return out

# --- llama.cpp -----------------------------------------------------------------------------------

class Params(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint8 * 256)]

class Llama:
    lib = None

    def __init__(self, path):
        if not Llama.lib:
            import xllamacpp
            found = glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), '*.so'))[0]
            lib = Llama.lib = ctypes.CDLL(found)
            self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *a: None)
            Llama.keep = self.quiet
            lib.llama_log_set(self.quiet, None)
            lib.llama_backend_init()
            lib.llama_model_default_params.restype = Params
            lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
            lib.llama_model_load_from_file.restype = ctypes.c_void_p
            lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
            lib.llama_model_get_vocab.restype = ctypes.c_void_p
            lib.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p,
                                           ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
        p = Llama.lib.llama_model_default_params()
        p.bytes[72] = 1 # vocab_only
        self.model = Llama.lib.llama_model_load_from_file(path.encode(), p)
        if not self.model:
            raise SystemExit(f'tokens: llama.cpp cannot read {path}')
        self.vocab = Llama.lib.llama_model_get_vocab(self.model)
        self.room = (ctypes.c_int32 * (1 << 20))()

    def encode(self, s, trusted, frame):
        n = Llama.lib.llama_tokenize(self.vocab, s, len(s), self.room, len(self.room), frame, trusted)
        return tuple(self.room[:n])

# --- vocabularies in GGUF, and the tokenizer.json that belongs to them ------------------------------

GPT2 = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
PLAIN = dict(GPT2, use_regex=False)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

def seq(*steps):
    return {'type': 'Sequence', 'pretokenizers': list(steps)}

def split(pattern, behavior='Isolated', invert=False):
    return {'type': 'Split', 'pattern': {'Regex': pattern}, 'behavior': behavior, 'invert': invert}

def fields(path):
    from gguf import GGUFReader
    f = GGUFReader(path).fields
    names = ['tokens', 'token_type', 'merges', 'scores', 'precompiled_charsmap', 'unknown_token_id', 'bos_token_id']
    return {n: f['tokenizer.ggml.' + n].contents() for n in names if 'tokenizer.ggml.' + n in f}

def added(f):
    kinds = f.get('token_type', [])
    return [{'id': i, 'content': s, 'single_word': False, 'lstrip': False, 'rstrip': False,
             'normalized': False, 'special': k in (2, 3)}
            for i, (s, k) in enumerate(zip(f['tokens'], kinds)) if k in (2, 3, 4)]

def write(name, **parts):
    folder = os.path.join(work, name)
    os.makedirs(folder, exist_ok=True)
    j = dict(version='1.0', truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=None,
             post_processor=None, decoder=None)
    j.update(parts)
    path = os.path.join(folder, 'tokenizer.json')
    with open(path, 'w', encoding='utf-8') as out:
        json.dump(j, out, ensure_ascii=False)
    return path

def bpe(name, gguf, pre, normalizer=None, **model):
    f = fields(gguf)
    merges = [m.split(' ') if m.count(' ') == 1 else [m[:m.index(' ', 1)], m[m.index(' ', 1) + 1:]] for m in f['merges']]
    return write(name, added_tokens=added(f), normalizer=normalizer, pre_tokenizer=pre, decoder=GPT2, post_processor=GPT2,
                 model=dict(type='BPE', dropout=None, unk_token=None, continuing_subword_prefix=None,
                            end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
                            vocab={s: i for i, s in enumerate(f['tokens'])}, merges=merges, **model))

def spm_as_bpe(name, gguf):
    # merges of a SentencePiece vocabulary: every way to make a token of two, by the token's score
    f = fields(gguf)
    vocab = {s: i for i, s in enumerate(f['tokens'])}
    merges = []
    for s, i in vocab.items():
        local = [(s[:k], s[k:]) for k in range(1, len(s)) if s[:k] in vocab and s[k:] in vocab]
        merges += [(a, b, f['scores'][i]) for a, b in sorted(local, key=lambda p: (vocab[p[0]], vocab[p[1]]))]
    merges.sort(key=lambda m: m[2], reverse=True)
    return write(name, added_tokens=added(f), model=dict(
        type='BPE', dropout=None, unk_token='<unk>', continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=True,
        byte_fallback=True, ignore_merges=False, vocab=vocab, merges=[[a, b] for a, b, _ in merges]),
        normalizer={'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '\u2581'},
                    {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '\u2581'}]},
        decoder={'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '\u2581'}, 'content': ' '},
                 {'type': 'ByteFallback'}, {'type': 'Fuse'}, {'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}]})

def unigram(name, gguf):
    f = fields(gguf)
    charsmap = base64.b64encode(bytes(f['precompiled_charsmap'])).decode()
    space = {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}
    return write(name, added_tokens=added(f), pre_tokenizer=seq({'type': 'WhitespaceSplit'}, space), decoder=space,
                 normalizer={'type': 'Precompiled', 'precompiled_charsmap': charsmap},
                 model=dict(type='Unigram', unk_id=f.get('unknown_token_id', 3),
                            vocab=[[s, x] for s, x in zip(f['tokens'], f['scores'])]))

def bert(name, gguf):
    # llama.cpp's WordPiece treats rare characters otherwise than BERT's own: hold the GGUF against that
    f = fields(gguf)
    word = lambda s, k: s if k == 3 or k == 2 else s[1:] if s.startswith('\u2581') and len(s) > 1 else '##' + s
    template = [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': '[SEP]', 'type_id': 0}}]
    return gguf, write(name, added_tokens=added(f), pre_tokenizer={'type': 'BertPreTokenizer'},
                 normalizer={'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True, 'strip_accents': None, 'lowercase': True},
                 post_processor={'type': 'TemplateProcessing', 'single': template, 'pair': template + [{'Sequence': {'id': 'B', 'type_id': 1}}],
                                 'special_tokens': {s: {'id': s, 'ids': [f['tokens'].index(s)], 'tokens': [s]} for s in ('[CLS]', '[SEP]')}},
                 model=dict(type='WordPiece', unk_token='[UNK]', continuing_subword_prefix='##', max_input_chars_per_word=100,
                            vocab={word(s, k): i for i, (s, k) in enumerate(zip(f['tokens'], f['token_type']))}))

def trained(name, real, tokenizer, trainer, extra):
    folder = os.path.join(work, name)
    path = os.path.join(folder, 'tokenizer.json')
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        tokenizer.train_from_iterator(random.Random(1).sample(real, min(len(real), 8000)), trainer)
        tokenizer.add_tokens(list(extra))
        tokenizer.save(path)
    return path

def small(real):
    from tokenizers import Tokenizer, models as m, normalizers as n, pre_tokenizers as p, trainers as tr, Regex, AddedToken
    out = {}

    def make(name, model, trainer, normalizer=None, pre=None, extra=()):
        t = Tokenizer(model)
        if normalizer:
            t.normalizer = normalizer
        if pre:
            t.pre_tokenizer = pre
        out[name] = lambda: trained(name, real, t, trainer, extra)
    make('small-wordpiece-cased', m.WordPiece(unk_token='[UNK]'), tr.WordPieceTrainer(vocab_size=2000, special_tokens=['[UNK]', '[SEP]']),
         n.BertNormalizer(lowercase=False), p.BertPreTokenizer())
    make('small-whitespace', m.BPE(unk_token='<unk>'), tr.BpeTrainer(vocab_size=1500, special_tokens=['<unk>']),
         n.Sequence([n.NFKD(), n.Lowercase(), n.StripAccents(), n.Strip()]), p.Whitespace(),
         [AddedToken('the', single_word=True), AddedToken('<b>', lstrip=True, rstrip=True, normalized=False)])
    make('small-punctuation', m.BPE(unk_token='<unk>', fuse_unk=True), tr.BpeTrainer(vocab_size=1500, special_tokens=['<unk>']),
         n.NFC(), p.Sequence([p.WhitespaceSplit(), p.Punctuation('contiguous'), p.Digits(individual_digits=False)]))
    make('small-metaspace', m.Unigram(), tr.UnigramTrainer(vocab_size=1500, unk_token='<unk>', special_tokens=['<unk>']),
         n.NFKC(), p.Metaspace(prepend_scheme='first', split=True))
    make('small-split', m.BPE(unk_token='<unk>'), tr.BpeTrainer(vocab_size=1500, special_tokens=['<unk>']),
         n.Sequence([n.NFD(), n.Replace(Regex(r' {2,}'), ' ')]),
         p.Sequence([p.Split(Regex(r'\w+'), 'merged_with_previous', True), p.Split(' ', 'merged_with_next'), p.Split(Regex(r'[aeiou]+'), 'removed')]))
    make('small-prefix-space', m.BPE(), tr.BpeTrainer(vocab_size=1500, initial_alphabet=p.ByteLevel.alphabet()),
         None, p.Sequence([p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=True)]))
    make('small-pattern', m.BPE(), tr.BpeTrainer(vocab_size=1500, initial_alphabet=p.ByteLevel.alphabet()), n.NFKC(),
         p.Sequence([p.Split(Regex(r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                     r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                     r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), 'isolated'), p.ByteLevel(use_regex=False)]))
    return out

def families(real):
    g = lambda name: os.path.join(models, f'ggml-vocab-{name}.gguf')
    out = {}
    for name in ['gpt-2', 'llama-bpe', 'qwen2', 'llama-spm', 'phi-3', 'bert-bge', 'nomic-bert-moe', 'falcon', 'starcoder', 'command-r',
                 'deepseek-coder', 'qwen35']:
        if os.path.exists(g(name)):
            out['gguf-' + name] = ('llama.cpp', lambda p=g(name): p)
    if os.path.exists(g('bert-bge')):
        out['gguf-bert-bge-hf'] = ('tokenizers', lambda: bert('json-bge', g('bert-bge')))
    for path in glob.glob(os.path.join(models, 'SmolLM2*.gguf')):
        out['gguf-smollm2'] = ('llama.cpp', lambda p=path: p)
        out['json-smollm2'] = ('tokenizers', lambda p=path: bpe('json-smollm2', p, seq({'type': 'Digits', 'individual_digits': True}, GPT2)))
    j = {'json-gpt-2': lambda: bpe('json-gpt-2', g('gpt-2'), GPT2),
         'json-llama-3': lambda: bpe('json-llama-3', g('llama-bpe'), seq(split(LLAMA3 % r'\p{N}{1,3}'), PLAIN), ignore_merges=True),
         'json-qwen2': lambda: bpe('json-qwen2', g('qwen2'), seq(split(LLAMA3 % r'\p{N}'), PLAIN), {'type': 'NFC'}),
         'json-llama-2': lambda: spm_as_bpe('json-llama-2', g('llama-spm')),
         'json-xlm-r': lambda: unigram('json-xlm-r', g('nomic-bert-moe'))}
    for name, make in j.items():
        if glob.glob(g('gpt-2')):
            out[name] = ('tokenizers', make)
    if os.path.exists(os.path.join(models, 'minilm', 'tokenizer.json')):
        out['json-minilm'] = ('tokenizers', lambda: os.path.join(models, 'minilm', 'tokenizer.json'))
    for name, make in small(real).items():
        out[name] = ('tokenizers', make)
    return out

# --- the comparison ----------------------------------------------------------------------------------

def show(name, kind, s, ours, theirs):
    print(f'    {name} {kind}: {s[:120]!r}\n      silr {ours[:24]}\n      peer {theirs[:24]}', file=sys.stderr)

def specials(path, peer):
    if peer == 'llama.cpp':
        return []
    with open(path, encoding='utf-8') as f:
        return [e['content'] for e in json.load(f)['added_tokens'] if e['special']]

def compare(name, peer, path, peer_path, items, data):
    results = []
    for kind in ['plain', 'trusted', 'framed']:
        trusted, frame = kind != 'plain', kind == 'framed'
        sub, raw = (items, data) if kind == 'plain' else (items[::20], pack(items[::20]))
        args = (['trusted'] if trusted else []) + (['frame'] if frame else [])
        ours = silr(path, raw, *args)
        texts = [s.decode('utf-8', 'replace') for s in sub]
        if peer == 'llama.cpp':
            model = Llama(peer_path)
            theirs = [model.encode(s.encode(), trusted, frame) for s in texts]
        else:
            from tokenizers import Tokenizer
            t = Tokenizer.from_file(peer_path)
            t.no_truncation(), t.no_padding()
            t.encode_special_tokens = not trusted
            theirs = []
            for i in range(0, len(texts), 5000):
                theirs += [tuple(e.ids) for e in t.encode_batch_fast(texts[i:i + 5000], add_special_tokens=frame)]
        # models that make special tokens of plain text are not followed there
        words = specials(peer_path, peer) if kind == 'plain' else []
        wrong = [i for i in range(len(sub)) if tuple(ours[i]) != tuple(theirs[i]) and not any(w in texts[i] for w in words)]
        for i in wrong[:int(os.environ.get('SHOW', '3'))]:
            show(name, kind, sub[i], ours[i], theirs[i])
        results.append((len(sub), len(wrong)))
    return results

def speed(peer, path, peer_path, real):
    texts = random.Random(2).sample(real, min(len(real), 20000))
    data = pack([s.encode() for s in texts])
    loaded, nbytes, spent = map(float, subprocess.run([driver, path, 'time', str(seconds)], input=data, stdout=subprocess.PIPE,
                                                      check=True).stdout.split())
    begin = time.thread_time()
    if peer == 'llama.cpp':
        model = Llama(peer_path)
        run = lambda: [Llama.lib.llama_tokenize(model.vocab, s, len(s), model.room, len(model.room), False, False) for s in raw]
        raw = [s.encode() for s in texts[:2000]]
    else:
        from tokenizers import Tokenizer
        model = Tokenizer.from_file(peer_path)
        model.no_truncation(), model.no_padding()
        raw = texts
        run = lambda: model.encode_batch_fast(raw, add_special_tokens=False)
    peer_loaded = time.thread_time() - begin
    size, done = sum(len(s) if isinstance(s, bytes) else len(s.encode()) for s in raw), 0
    run()
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        run()
        done += size
    return loaded * 1e3, peer_loaded * 1e3, nbytes / spent / 1e6, done / (time.thread_time() - begin) / 1e6

# --- conversations: the models' own templates, as transformers renders them --------------------------

ROLES = ['system', 'user', 'assistant']

def conversation(rng, items, trim_ok, systems):
    text = lambda: rng.choice(items)
    turns = [(0, text())] if systems and rng.random() < .5 else []
    turns.append((1, text()))
    if not turns[0][0] == 0 or systems == 2:
        for _ in range(rng.randrange(3)):
            turns += [(2, text()), (1, text())]
    return turns

def templates():
    t = lambda name: open(os.path.join(models, 'templates', name + '.jinja'), encoding='utf-8').read()
    llama3 = ('json-llama-3', lambda: bpe('json-llama-3', os.path.join(models, 'ggml-vocab-llama-bpe.gguf'), seq(split(LLAMA3 % r'\p{N}{1,3}'), PLAIN), ignore_merges=True))
    qwen = ('json-qwen2', lambda: bpe('json-qwen2', os.path.join(models, 'ggml-vocab-qwen2.gguf'), seq(split(LLAMA3 % r'\p{N}'), PLAIN), {'type': 'NFC'}))
    phi = ('json-phi-3', lambda: spm_as_bpe('json-phi-3', os.path.join(models, 'ggml-vocab-phi-3.gguf')))
    smollm = [p for p in glob.glob(os.path.join(models, 'SmolLM2*.gguf'))]
    out = []
    if smollm:
        from gguf import GGUFReader
        own = GGUFReader(smollm[0]).fields['tokenizer.chat_template'].contents()
        out.append(('smollm2', own, ('json-smollm2', lambda: bpe('json-smollm2', smollm[0], seq({'type': 'Digits', 'individual_digits': True}, GPT2))), 2, '<|im_start|>', '<|im_end|>', []))
    if os.path.exists(os.path.join(models, 'templates')):
        out += [('qwen2.5', t('Qwen-Qwen2.5-7B-Instruct'), qwen, 2, None, '<|im_end|>', []),
                ('llama-3.1', t('meta-llama-Llama-3.1-8B-Instruct'), llama3, 2, '<|begin_of_text|>', '<|eot_id|>', []),
                ('llama-3.3', t('meta-llama-Llama-3.3-70B-Instruct'), llama3, 2, '<|begin_of_text|>', '<|eot_id|>', []),
                ('gemma-2', t('google-gemma-2-2b-it'), phi, 0, '<s>', '</s>', ['<start_of_turn>', '<end_of_turn>']),
                ('phi-3.5', t('microsoft-Phi-3.5-mini-instruct'), phi, 2, '<s>', '</s>', []),
                ('mistral-nemo', t('mistralai-Mistral-Nemo-Instruct-2407'), phi, 1, '<s>', '</s>', ['[INST]', '[/INST]'])]
    return out

def talks(items):
    from transformers import PreTrainedTokenizerFast
    from tokenizers import Tokenizer, AddedToken
    rng = random.Random(9)
    texts = [s.decode('utf-8', 'replace') for s in items[:20000]]
    texts = [s for s in texts if s.strip() and not any(w in s for w in ('<|', '<s>', '</s>', '[INST', '[/INST', '<unk'))]
    print('\n| template | conversations | differ |\n|---|---|---|')
    for name, template, (base, make), systems, bos, eos, extra in templates():
        make()
        folder = os.path.join(work, 'talk-' + name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, 'tokenizer.json')
        peer = Tokenizer.from_file(os.path.join(work, base, 'tokenizer.json'))
        peer.add_special_tokens([AddedToken(s, normalized=False) for s in extra])
        peer.save(path)
        json.dump(dict(bos_token=bos, eos_token=eos, chat_template=template), open(os.path.join(folder, 'tokenizer_config.json'), 'w'))
        t = PreTrainedTokenizerFast(tokenizer_file=path, bos_token=bos, eos_token=eos, chat_template=template)
        asked, theirs = [], []
        for _ in range(500):
            turns, opened = conversation(rng, texts, False, systems), rng.random() < .5 or name == 'phi-3.5'
            text = t.apply_chat_template([dict(role=ROLES[r], content=s) for r, s in turns], tokenize=False, add_generation_prompt=opened)
            theirs.append(tuple(peer.encode(text, add_special_tokens=False).ids))
            asked.append(bytes([opened]) + b''.join(bytes([r]) + struct.pack('<I', len(s.encode())) + s.encode() for r, s in turns))
        ours = silr(folder, pack(asked), 'talk')
        wrong = [i for i in range(len(asked)) if tuple(ours[i]) != theirs[i]]
        for i in wrong[:int(os.environ.get('SHOW', '3'))]:
            show(name, 'talk', asked[i], ours[i], theirs[i])
            print(peer.decode(list(ours[i]), skip_special_tokens=False)[:1000], '\n---\n', peer.decode(list(theirs[i]), skip_special_tokens=False)[:1000], file=sys.stderr)
        print(f'| {name} | {len(asked)} | {len(wrong)} |', flush=True)

def main():
    os.environ['TOKENIZERS_PARALLELISM'] = 'false'
    os.environ['RAYON_NUM_THREADS'] = '1'
    real, items = strings()
    data = pack(items)
    print(f'{len(items)} strings, {sum(map(len, items)) / 1e6:.1f} MB; {len(real)} real texts for the speed, one thread\n')
    print('| family | peer | strings | differ | trusted | framed | load, ms | peer | MB/s | peer | times |')
    print('|---|---|---|---|---|---|---|---|---|---|---|')
    for name, (peer, make) in families(real).items():
        if only and name not in only:
            continue
        path, peer_path = (lambda p: p if isinstance(p, tuple) else (p, p))(make())
        r = compare(name, peer, path, peer_path, items, data)
        load, peer_load, ours, theirs = speed(peer, path, peer_path, real) if seconds > 0 else (0, 0, 0, 1)
        print(f'| {name} | {peer} | {r[0][0]} | {r[0][1]} | {r[1][1]} of {r[1][0]} | {r[2][1]} of {r[2][0]} | {load:.0f} | '
              f'{peer_load:.0f} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.1f} |', flush=True)
    if not only or 'talk' in only:
        talks(items)

main()
