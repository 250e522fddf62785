#!/usr/bin/env python3
# tokens_record.py - makes tests/tokenizer/data: small vocabularies, and what the peers make of strings
#
#     tokens_record.py TESTDATA SHARED       with tokenizers, transformers, sentencepiece, gguf, xllamacpp
#
# Vocabularies are trained on texts of SHARED, a few KB each; ids come from the tokenizers library
# (tokenizer.json), llama.cpp (GGUF) and transformers (conversations). Run once; the tests read the files.
import base64, importlib.util, json, os, random, sys, tempfile

data, shared = sys.argv[1:3]
here = os.path.dirname(os.path.abspath(__file__))
sys.argv = ['tokens.py', '', data, shared, '1', '0']
spec = importlib.util.spec_from_file_location('tokens', os.path.join(here, 'tokens.py'))
tokens = importlib.util.module_from_spec(spec)
source = open(os.path.join(here, 'tokens.py')).read().replace('\nmain()\n', '\n')
exec(compile(source, 'tokens.py', 'exec'), tokens.__dict__)

from tokenizers import Tokenizer, models as m, normalizers as n, pre_tokenizers as p, trainers as tr, processors as po
from tokenizers import decoders as d, Regex, AddedToken

rng = random.Random(7)
real = [s for s in tokens.real_texts() if len(s) < 400]
train = rng.sample(real, 3000) + ['\u4e2d\u6587', 'caf\u00e9 na\u00efve \u00fcber', '\u043f\u0440\u0438\u0432\u0435\u0442'] * 5
strings = ['', ' ', '  ', '\n', 'a', ' a', 'Hello, world!', "it's I'LL we'Re", 'x  y   z', 'tabs\t\tand\n\n lines \r\n', '12345 3.14 \u00b2\u00bd\u0664',
           '<s>[SEP]</s> <|end|>', 'the<b> the </b>', '\u2581a \u2581', '<0x41>', 'e\u0301\u00e9\u212b\ufb01', '\x00\x01\x7f\x85']
strings += [s for s in rng.sample(real, 18) if len(s) < 200]
strings += [g.decode('utf-8', 'replace') for g in tokens.generated(random.Random(3), 30)]

def train_and_save(name, t, trainer, vocab=None):
    t.train_from_iterator(train, trainer)
    j = json.loads(t.to_str())
    path = os.path.join(data, name + '.json')
    with open(path, 'w', encoding='utf-8') as f:
        json.dump(j, f, ensure_ascii=False, separators=(',', ':'))
    return path

def byte_level(name, pre, normalizer=None, size=400, extra=('<|end|>',), post=None):
    t = Tokenizer(m.BPE())
    t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    t.decoder = d.ByteLevel()
    path = train_and_save(name, t, tr.BpeTrainer(vocab_size=size, initial_alphabet=sorted(p.ByteLevel.alphabet()), special_tokens=list(extra), show_progress=False))
    return path

made = {}
llama3 = tokens.LLAMA3
made['gpt2'] = byte_level('gpt2', p.ByteLevel(add_prefix_space=False))
made['llama3'] = byte_level('llama3', p.Sequence([p.Split(Regex(llama3 % r'\p{N}{1,3}'), 'isolated'), p.ByteLevel(add_prefix_space=False, use_regex=False)]))
made['qwen2'] = byte_level('qwen2', p.Sequence([p.Split(Regex(llama3 % r'\p{N}'), 'isolated'), p.ByteLevel(add_prefix_space=False, use_regex=False)]), n.NFC())
made['smollm'] = byte_level('smollm', p.Sequence([p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False)]))
made['prefix'] = byte_level('prefix', p.Sequence([p.Split(Regex(r'\w+|\d'), 'contiguous'), p.ByteLevel(add_prefix_space=True, use_regex=False)]))

t = Tokenizer(m.WordPiece(unk_token='[UNK]'))
t.normalizer, t.pre_tokenizer, t.decoder = n.BertNormalizer(), p.BertPreTokenizer(), d.WordPiece()
made['wordpiece'] = path = train_and_save('wordpiece', t, tr.WordPieceTrainer(vocab_size=300, special_tokens=['[UNK]', '[CLS]', '[SEP]'], show_progress=False))
t = Tokenizer.from_file(path)
t.post_processor = po.TemplateProcessing(single='[CLS] $A [SEP]', special_tokens=[('[CLS]', 1), ('[SEP]', 2)])
t.save(path, pretty=False)

t = Tokenizer(m.BPE(unk_token='<unk>'))
t.normalizer = n.Sequence([n.NFKD(), n.Lowercase(), n.StripAccents(), n.Strip(), n.Replace(Regex(' {2,}'), ' ')])
t.pre_tokenizer = p.Sequence([p.Whitespace(), p.Split('e', 'merged_with_previous'), p.Split(Regex('[aiu]+'), 'merged_with_next', False)])
t.post_processor = po.RobertaProcessing(('</s>', 2), ('<s>', 1))
made['steps'] = path = train_and_save('steps', t, tr.BpeTrainer(vocab_size=200, special_tokens=['<unk>', '<s>', '</s>'], show_progress=False))
t = Tokenizer.from_file(path)
t.add_tokens([AddedToken('the', single_word=True, normalized=True), AddedToken('<b>', lstrip=True, rstrip=True, normalized=False)])
t.save(path, pretty=False)

# SentencePiece: a unigram model with a small charsmap, a BPE model with byte tokens
import sentencepiece as sp
folder = tempfile.mkdtemp()
with open(os.path.join(folder, 'text'), 'w') as f:
    f.write('\n'.join(s.replace('\n', ' ') for s in train))
with open(os.path.join(folder, 'rules'), 'w') as f:
    rules = [([0xfb01], [0x66, 0x69]), ([0x65, 0x301], [0xe9]), ([0x212b], [0xc5]), ([0x3000], [0x20]), ([9], [0x20]), ([10], [0x20]), ([13], [0x20]), ([0x200b], []), ([0xbd], [0x31, 0x2044, 0x32]), ([1], [])]
    for a, b in rules:
        f.write(' '.join('%X' % c for c in a) + '\t' + ' '.join('%X' % c for c in b) + '\n')
def sentencepiece(kind, **more):
    sp.SentencePieceTrainer.train(input=os.path.join(folder, 'text'), model_prefix=os.path.join(folder, kind), model_type=kind, vocab_size=more.pop('size'),
                                  character_coverage=.98, num_threads=1, minloglevel=2, **more)
    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString(open(os.path.join(folder, kind + '.model'), 'rb').read())
    return proto
uni = sentencepiece('unigram', size=300, normalization_rule_tsv=os.path.join(folder, 'rules'), remove_extra_whitespaces=True)
bpe = sentencepiece('bpe', size=500, byte_fallback=True, normalization_rule_name='identity', remove_extra_whitespaces=False)

charsmap = uni.normalizer_spec.precompiled_charsmap
def save(name, j):
    base = dict(version='1.0', truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None)
    base.update(j)
    made[name] = os.path.join(data, name + '.json')
    with open(made[name], 'w', encoding='utf-8') as f:
        json.dump(base, f, ensure_ascii=False, separators=(',', ':'))
special = lambda i, s, **k: dict(dict(id=i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True), **k)
space = {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}
save('unigram', dict(added_tokens=[special(i, s) for i, s in enumerate(['<unk>', '<s>', '</s>'])], pre_tokenizer=space, decoder=space,
     normalizer={'type': 'Sequence', 'normalizers': [{'type': 'Precompiled', 'precompiled_charsmap': base64.b64encode(charsmap).decode()},
                 {'type': 'Replace', 'pattern': {'Regex': ' {2,}'}, 'content': ' '}]},
     model=dict(type='Unigram', unk_id=0, vocab=[[x.piece, x.score] for x in uni.pieces])))
vocab = {x.piece: i for i, x in enumerate(bpe.pieces)}
merges = []
for i, x in enumerate(bpe.pieces):
    merges += [[x.piece[:k], x.piece[k:], x.score] for k in range(1, len(x.piece)) if x.type == 1 and x.piece[:k] in vocab and x.piece[k:] in vocab]
merges.sort(key=lambda e: -e[2])
save('llama2', dict(added_tokens=[special(i, s) for i, s in enumerate(['<unk>', '<s>', '</s>'])],
     normalizer={'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '\u2581'}, {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '\u2581'}]},
     post_processor={'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '<s>', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}],
                     'pair': [{'Sequence': {'id': 'A', 'type_id': 0}}, {'Sequence': {'id': 'B', 'type_id': 0}}], 'special_tokens': {'<s>': {'id': '<s>', 'ids': [1], 'tokens': ['<s>']}}},
     decoder={'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '\u2581'}, 'content': ' '}, {'type': 'ByteFallback'}, {'type': 'Fuse'}, {'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}]},
     model=dict(type='BPE', dropout=None, unk_token='<unk>', continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=True, byte_fallback=True, vocab=vocab, merges=[e[:2] for e in merges])))

# GGUF vocabularies
from gguf import GGUFWriter
def gguf(name, model, names, types, scores=None, merges=None, pre=None, **more):
    path = made[name] = os.path.join(data, name + '.gguf')
    w = GGUFWriter(path, 'llama')
    w.add_block_count(1), w.add_context_length(8), w.add_embedding_length(4), w.add_feed_forward_length(4), w.add_head_count(1), w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(names), w.add_token_types(types)
    if scores:
        w.add_token_scores(scores)
    if merges:
        w.add_token_merges(merges)
    for k, v in more.items():
        if isinstance(v, bool):
            w.add_bool('tokenizer.ggml.' + k, v)
        elif isinstance(v, bytes):
            w.add_precompiled_charsmap(v)
        else:
            w.add_uint32('tokenizer.ggml.' + k, v)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.close()
gguf('spm', 'llama', [x.piece for x in bpe.pieces], [x.type for x in bpe.pieces], [x.score for x in bpe.pieces], bos_token_id=1, eos_token_id=2, unknown_token_id=0)
gguf('t5', 't5', [x.piece for x in uni.pieces], [x.type for x in uni.pieces], [x.score for x in uni.pieces], precompiled_charsmap=charsmap, eos_token_id=2, unknown_token_id=0,
     add_space_prefix=True, remove_extra_whitespaces=True)
j = json.load(open(made['smollm']))
names = sorted(j['model']['vocab'], key=j['model']['vocab'].get)
gguf('smollm', 'gpt2', names, [3 if s == '<|end|>' else 1 for s in names], merges=[' '.join(x) if isinstance(x, list) else x for x in j['model']['merges']], pre='smollm', eos_token_id=0, bos_token_id=0)

# for each text: ids as they are; every fourth with trust and frame; decoded again
out = {}
for name, path in made.items():
    cases = out[os.path.basename(path)] = []
    llama, t = (tokens.Llama(path), None) if path.endswith('.gguf') else (None, Tokenizer.from_file(path))
    barred = set() if llama else {e['id'] for e in json.load(open(path))['added_tokens'] if e['special'] and 'unk' not in e['content'].lower()}
    for i, s in enumerate(strings):
        if llama:
            b = s.encode()
            plain, framed, text = llama.encode(b, False, False), llama.encode(b, True, True), None
        else:
            t.encode_special_tokens = True
            plain = t.encode(s, add_special_tokens=False).ids
            t.encode_special_tokens = False
            framed, text = t.encode(s).ids, t.decode(plain) if t.decoder else None
        if barred & set(plain): # a model that makes special tokens of text: silr does not
            plain, text = None, None
        cases.append([plain if plain is None else list(plain), list(framed) if i % 4 == 0 or i < 20 else None, text])

# conversations: templates that write the documented formats, as transformers renders them
from transformers import PreTrainedTokenizerFast
chatml = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief and kind<|im_end|>\n' }}{% endif %}"
          "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
llama3t = ("{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
           "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
llama31 = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] | trim %}{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
           "{{ '<|start_header_id|>system<|end_header_id|>\n\n' }}{{ 'Cutting Knowledge Date: December 2023\n' }}{{ 'Today Date: 26 Jul 2024\n\n' }}{{ s + '<|eot_id|>' }}"
           "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
gemma = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
         "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' + (s if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}"
         "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}")
phi3 = ("{% for message in messages %}{% if message['role'] != 'system' or message['content'] %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")
zephyr = ("{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' }}{% elif message['role'] == 'system' %}{{ '<|system|>\n' }}{% else %}{{ '<|assistant|>\n' }}{% endif %}"
          "{{ message['content'] + eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")
llama2 = ("{% if messages[0]['role'] == 'system' %}{% set s = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
          "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + ((s if loop.first else '') + message['content']).strip() + ' [/INST]' }}"
          "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
mistral = ("{{ bos_token }}{# [AVAILABLE_TOOLS] #}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
           "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + (s if loop.first else '') + message['content'] + '[/INST]' }}{% else %}{{ ' ' + message['content'].strip() + eos_token }}{% endif %}{% endfor %}")
marks = {'chatml': (chatml, ['<|im_start|>', '<|im_end|>'], 'gpt2'), 'llama3': (llama3t, ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'], 'llama3'),
         'llama3.1': (llama31, ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'], 'llama3'), 'gemma': (gemma, ['<start_of_turn>', '<end_of_turn>'], 'gpt2'),
         'phi3': (phi3, ['<|system|>', '<|user|>', '<|assistant|>', '<|end|>'], 'llama2'), 'zephyr': (zephyr, [], 'llama2'), 'llama2': (llama2, [], 'llama2'), 'mistral': (mistral, ['[INST]', '[/INST]'], 'llama2')}
talks = [[('user', 'Is it good?')], [('system', ' Answer yes or no. '), ('user', '  Is  it?\n')], [('user', 'a'), ('assistant', ' b '), ('user', 'c\n\nd')],
         [('system', 'S'), ('user', '\u4e2d\u6587 \u00e9'), ('assistant', 'yes'), ('user', "'s"), ('assistant', 'no')]]
conversations = []
for name, (template, extra, base) in marks.items():
    j = json.load(open(made[base]))
    have = max([e['id'] for e in j['added_tokens']] + list(j['model']['vocab'].values())) + 1
    config = dict(bos_token='<s>', eos_token='</s>', chat_template=template)
    add = [s for s in ['<s>', '</s>'] + extra if s not in [e['content'] for e in j['added_tokens']]]
    strip = {'<|end|>': dict(rstrip=True), '<|user|>': dict(rstrip=True), '<|assistant|>': dict(rstrip=True)} if name == 'phi3' else {}
    new = [special(have + i, s, **strip.get(s, {})) for i, s in enumerate(add)]
    j['added_tokens'] += new
    with tempfile.NamedTemporaryFile('w', suffix='.json', delete=False) as f:
        json.dump(j, f)
    t = PreTrainedTokenizerFast(tokenizer_file=f.name, bos_token='<s>', eos_token='</s>', chat_template=template)
    cases = []
    for turns in talks:
        messages = [dict(role=r, content=c) for r, c in turns]
        for opened in (False, True):
            if opened and turns[-1][0] == 'assistant':
                continue
            text = t.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened)
            cases.append([turns, opened, Tokenizer.from_file(f.name).encode(text, add_special_tokens=False).ids])
    conversations.append(dict(name=name, base=os.path.basename(made[base]), added=new, config=config, cases=cases))

with open(os.path.join(data, 'recorded.json'), 'w', encoding='utf-8') as f:
    json.dump(dict(texts=strings, ids=out, conversations=conversations), f, ensure_ascii=True, separators=(',', ':'))
