/* build.c - puts a tokenizer together: tokens and steps as they are read, tables at the end. */
#include "tokenizer/inside.h"
#include <string.h>

enum { MOST_TOKENS = 1 << 24, LONGEST_TOKEN = 4096, MOST_STEPS = 64 };

silr_status silr_tok_new(silr_tokenizer **out, const char *name, silr_error *err)
{
    silr_tokenizer *t = silr_calloc(1, sizeof *t);

    *out = NULL;
    if (!t || !(t->name = silr_strdup(name))) {
        silr_free(t);
        return silr_fail_memory(err);
    }
    t->unknown = SILR_TOK_NONE;
    t->bos = t->eos = -1;
    t->talk.kind = SILR_TALK_NONE;
    for (int i = 0; i < 256; i++)
        t->byte[i] = SILR_TOK_NONE;
    *out = t;
    return SILR_OK;
}

static void added_set_clear(silr_added_set *s)
{
    silr_trie_clear(&s->plain);
    silr_trie_clear(&s->all);
}

void silr_tokenizer_free(silr_tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_normal; i++)
        silr_normal_clear(&t->normal[i]);
    for (size_t i = 0; i < t->n_split; i++)
        silr_tok_regex_free(t->split[i].regex);
    added_set_clear(&t->raw);
    added_set_clear(&t->normalized);
    silr_trie_clear(&t->words);
    silr_trie_clear(&t->inner);
    silr_free(t->normal);
    silr_free(t->split);
    silr_free(t->added);
    silr_free(t->before);
    silr_free(t->after);
    silr_free(t->map.slot);
    silr_free(t->names.slot);
    silr_free(t->merge);
    silr_free((void *)t->whole);
    silr_free(t->inner_prefix);
    silr_free(t->ends);
    silr_free(t->template);
    silr_free(t->talk.system);
    silr_free(t->token);
    silr_arena_clear(&t->arena);
    silr_free(t->name);
    silr_free(t);
}

silr_status silr_tok_room(silr_tokenizer *t, size_t n, silr_error *err)
{
    if (n > MOST_TOKENS)
        return silr_fail(err, SILR_EINPUT, "%s: a vocabulary of %zu tokens; %d are the most",
                         t->name, n, MOST_TOKENS);
    if (n <= t->n)
        return SILR_OK;
    if (!silr_grow(&t->token, &t->token_cap, n, sizeof *t->token))
        return silr_fail_memory(err);
    memset(t->token + t->n, 0, (n - t->n) * sizeof *t->token);
    t->n = n;
    return SILR_OK;
}

silr_status silr_tok_put_token(silr_tokenizer *t, size_t id, const char *name, size_t len,
                               uint32_t flags, double score, silr_error *err)
{
    silr_token *k;
    silr_status st = silr_tok_room(t, id + 1, err);

    if (st != SILR_OK)
        return st;
    k = &t->token[id];
    if ((k->flags & TOKEN_HERE) && (k->name_len != len || memcmp(k->name, name, len) != 0))
        return silr_fail(err, SILR_EINPUT, "%s: two tokens have the id %zu: \"%.80s\" and \"%.*s\"",
                         t->name, id, k->name, (int)(len < 80 ? len : 80), name);
    if (len > LONGEST_TOKEN) /* a text would be searched for it at every place */
        return silr_fail(err, SILR_EINPUT, "%s: token %zu has %zu bytes; %d are the most", t->name,
                         id, len, LONGEST_TOKEN);
    if (!(k->flags & TOKEN_HERE) && !(k->name = silr_arena_strndup(&t->arena, name, len)))
        return silr_fail_memory(err);
    k->name_len = (uint32_t)len;
    k->flags |= flags | TOKEN_HERE;
    k->score = score;
    return SILR_OK;
}

static silr_status too_many(const silr_tokenizer *t, const char *what, silr_error *err)
{
    return silr_fail(err, SILR_EINPUT, "%s: more than %d %s", t->name, MOST_STEPS, what);
}

silr_status silr_tok_add_normal(silr_tokenizer *t, silr_normal step, silr_error *err)
{
    if (t->n_normal == MOST_STEPS ||
        !silr_grow(&t->normal, &t->normal_cap, t->n_normal + 1, sizeof *t->normal)) {
        silr_normal_clear(&step);
        return t->n_normal == MOST_STEPS ? too_many(t, "normalizers", err) : silr_fail_memory(err);
    }
    t->normal[t->n_normal++] = step;
    return SILR_OK;
}

silr_status silr_tok_add_split(silr_tokenizer *t, silr_split step, silr_error *err)
{
    if (t->n_split == MOST_STEPS ||
        !silr_grow(&t->split, &t->split_cap, t->n_split + 1, sizeof *t->split)) {
        silr_tok_regex_free(step.regex);
        return t->n_split == MOST_STEPS ? too_many(t, "pre-tokenizers", err)
                                        : silr_fail_memory(err);
    }
    t->split[t->n_split++] = step;
    return SILR_OK;
}

silr_status silr_tok_add_added(silr_tokenizer *t, silr_added a, silr_error *err)
{
    if (!silr_grow(&t->added, &t->added_cap, t->n_added + 1, sizeof *t->added))
        return silr_fail_memory(err);
    t->added[t->n_added++] = a;
    return SILR_OK;
}

silr_status silr_tok_index(silr_tokenizer *t, silr_error *err)
{
    silr_free(t->names.slot);
    return silr_tok_map_build(&t->names, t->token, t->n, true, err);
}

silr_status silr_tok_merges(silr_tokenizer *t, const silr_merge_rule *rule, size_t n,
                            bool last_wins, silr_error *err)
{
    size_t slots = 16;

    if (n >= UINT32_MAX)
        return silr_fail(err, SILR_EINPUT, "%s: %zu merges", t->name, n);
    while (slots < 2 * n)
        slots *= 2;
    if (!(t->merge = silr_alloc(slots, sizeof *t->merge)))
        return silr_fail_memory(err);
    memset(t->merge, 0xff, slots * sizeof *t->merge);
    t->merge_mask = slots - 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t pair = (uint64_t)rule[i].left << 32 | rule[i].right;
        size_t at = (pair * 0x9e3779b97f4a7c15u) >> 20 & t->merge_mask;
        if (rule[i].id == SILR_TOK_NONE)
            continue;
        while (t->merge[at].pair != UINT64_MAX && t->merge[at].pair != pair)
            at = (at + 1) & t->merge_mask;
        if (t->merge[at].pair == UINT64_MAX || last_wins)
            t->merge[at] = (silr_merge){pair, (uint32_t)i, rule[i].id};
    }
    return SILR_OK;
}

/* --- pieces and keys ---------------------------------------------------------------------------
 */

/* <0xXX>, two capital or small hexadecimal digits: the byte; -1: something else. */
static int byte_token(const char *s, size_t len)
{
    int value = 0;

    if (len != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        int c = (unsigned char)s[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            value = value * 16 + (c | 32) - 'a' + 10;
        else
            return -1;
    }
    return value;
}

static bool set_piece(silr_tokenizer *t, silr_token *k, const silr_buf *b)
{
    k->piece = silr_arena_strndup(&t->arena, b->len ? b->data : "", b->len);
    k->piece_len = (uint32_t)b->len;
    return k->piece && !b->failed;
}

/* The bytes that a byte-level name is written for; false: it is not. */
static bool from_letters(const silr_token *k, silr_buf *b)
{
    if (!silr_tok_is_utf8(k->name, k->name_len))
        return false;
    for (size_t i = 0, n; i < k->name_len; i += n) {
        int byte = silr_tok_char_byte(silr_tok_char(k->name + i, &n));
        if (byte < 0)
            return false;
        silr_buf_putc(b, (char)byte);
    }
    return true;
}

static void with_spaces(const silr_token *k, silr_buf *b)
{
    for (size_t i = 0; i < k->name_len; i++)
        if (k->name_len - i >= 3 && memcmp(k->name + i, SILR_TOK_SPACE, 3) == 0) {
            silr_buf_putc(b, ' ');
            i += 2;
        } else
            silr_buf_putc(b, k->name[i]);
}

static void as_word(const silr_tokenizer *t, const silr_token *k, silr_buf *b)
{
    size_t n = strlen(t->inner_prefix);

    if (n > 0 && k->name_len > n && memcmp(k->name, t->inner_prefix, n) == 0) {
        silr_buf_add(b, k->name + n, k->name_len - n);
        return;
    }
    if (!(t->decode_cleanup && k->name_len == 1 && strchr(".?!,", k->name[0])))
        silr_buf_putc(b, ' ');
    silr_buf_add(b, k->name, k->name_len);
}

static silr_status describe(silr_tokenizer *t, uint32_t id, silr_buf *b, silr_error *err)
{
    silr_token *k = &t->token[id];
    bool byte_level = t->byte_level && (k->flags & TOKEN_MODEL),
         key = (k->flags & TOKEN_MODEL) != 0;
    int byte;

    silr_buf_reset(b);
    if (k->flags & (TOKEN_SPECIAL | TOKEN_UNKNOWN)) {
        k->piece = k->name;
        k->piece_len = k->name_len;
        return SILR_OK;
    }
    if ((k->flags & TOKEN_BYTE) && (byte = byte_token(k->name, k->name_len)) >= 0) {
        silr_buf_putc(b, (char)byte);
        if (t->byte[byte] == SILR_TOK_NONE)
            t->byte[byte] = id;
        key = false;
    } else if (byte_level && !from_letters(k, b)) {
        silr_buf_reset(b);
        silr_buf_add(b, k->name, k->name_len);
        byte_level = key = false;
    } else if (!byte_level) {
        if (t->decode == DECODE_SPACES)
            with_spaces(k, b);
        else if (t->decode == DECODE_WORDPIECE && (k->flags & TOKEN_MODEL))
            as_word(t, k, b);
        else
            silr_buf_add(b, k->name, k->name_len);
    }
    if (!set_piece(t, k, b))
        return silr_fail_memory(err);
    if (key && k->name_len > 0) {
        k->key = byte_level ? k->piece : k->name;
        k->key_len = byte_level ? k->piece_len : k->name_len;
        if (byte_level && k->key_len == 1 && t->byte[(unsigned char)k->key[0]] == SILR_TOK_NONE)
            t->byte[(unsigned char)k->key[0]] = id;
    }
    return SILR_OK;
}

/* --- tables --------------------------------------------------------------------------------------
 */

/* The trie of the tokens inside of words, or at their beginning. */
static silr_status word_trie(silr_tokenizer *t, bool inner, silr_trie *out, silr_error *err)
{
    silr_trie_key *key = silr_alloc(t->n, sizeof *key);
    size_t n = 0, skip = inner ? strlen(t->inner_prefix) : 0;
    silr_status st;

    if (!key)
        return silr_fail_memory(err);
    for (size_t id = 0; id < t->n; id++) {
        const silr_token *k = &t->token[id];
        if (k->key && k->key_len > skip &&
            (skip == 0 || memcmp(k->key, t->inner_prefix, skip) == 0))
            key[n++] = (silr_trie_key){k->key + skip, k->key_len - skip, (uint32_t)id};
    }
    st = silr_trie_build(out, key, n, err);
    silr_free(key);
    return st;
}

/* The words to seek for each added token: as they are, or normalised as the text will be. */
static silr_status added_set(silr_tokenizer *t, bool normalized, bool special, silr_trie *out,
                             silr_error *err)
{
    silr_trie_key *key = silr_alloc(t->n_added, sizeof *key);
    silr_work w = {0};
    silr_status st = key ? SILR_OK : silr_fail_memory(err);
    size_t n = 0;

    for (size_t i = 0; st == SILR_OK && i < t->n_added; i++) {
        const silr_added *a = &t->added[i];
        const char *s = a->text;
        size_t len = a->len;
        if (a->normalized != normalized || (a->special && !special) || !silr_tok_is_utf8(s, len))
            continue;
        if (normalized && (st = silr_tok_normalise(t, &w, s, len, true, &s, &len, err)) != SILR_OK)
            break;
        if (s != a->text && !(s = silr_arena_strndup(&t->arena, s, len)))
            st = silr_fail_memory(err);
        else
            key[n++] = (silr_trie_key){s, len, (uint32_t)i};
    }
    if (st == SILR_OK)
        st = silr_trie_build(out, key, n, err);
    silr_work_clear(&w);
    silr_free(key);
    return st;
}

static silr_status added_tables(silr_tokenizer *t, silr_error *err)
{
    silr_status st;

    /* A file may name a token twice, and call it special once: it is. */
    for (size_t i = 0; i < t->n_added; i++)
        t->added[i].special = (t->token[t->added[i].id].flags & TOKEN_SPECIAL) != 0;

    if ((st = added_set(t, false, false, &t->raw.plain, err)) == SILR_OK &&
        (st = added_set(t, false, true, &t->raw.all, err)) == SILR_OK &&
        (st = added_set(t, true, false, &t->normalized.plain, err)) == SILR_OK)
        st = added_set(t, true, true, &t->normalized.all, err);
    return st;
}

static silr_status find_ends(silr_tokenizer *t, silr_error *err)
{
    static const char *const names[] = {"<|im_end|>",      "<|eot_id|>", "<|eom_id|>",
                                        "<end_of_turn>",   "<|end|>",    "<|endoftext|>",
                                        "<|end_of_text|>", "</s>"};

    if (!(t->ends = silr_calloc(t->n, sizeof *t->ends)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint32_t id = silr_tok_by_name(t, names[i], strlen(names[i]));
        if (id != SILR_TOK_NONE && (t->token[id].flags & (TOKEN_SPECIAL | TOKEN_ADDED)))
            t->ends[id] = true;
    }
    if (t->eos >= 0 && (size_t)t->eos < t->n)
        t->ends[t->eos] = true;
    return SILR_OK;
}

/* No merge makes a special token. */
static void bar_specials(silr_tokenizer *t)
{
    for (size_t i = 0; t->merge && i <= t->merge_mask; i++)
        if (t->merge[i].pair != UINT64_MAX && (t->token[t->merge[i].id].flags & TOKEN_SPECIAL))
            t->merge[i].rank = UINT32_MAX;
}

static silr_status model_tables(silr_tokenizer *t, silr_error *err)
{
    silr_status st;

    switch (t->model) {
    case MODEL_BPE:
        bar_specials(t);
        if (!(t->whole = silr_calloc(t->n, sizeof *t->whole)))
            return silr_fail_memory(err);
        return silr_tok_map_build(&t->map, t->token, t->n, false, err);
    case MODEL_SPM:
        return silr_tok_map_build(&t->map, t->token, t->n, false, err);
    case MODEL_WORDPIECE:
        if ((st = word_trie(t, true, &t->inner, err)) != SILR_OK)
            return st;
        return word_trie(t, false, &t->words, err);
    case MODEL_UNIGRAM:
        return word_trie(t, false, &t->words, err);
    }
    return SILR_OK;
}

silr_status silr_tok_finish(silr_tokenizer *t, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = SILR_OK;

    for (size_t id = 0; st == SILR_OK && id < t->n; id++)
        if (t->token[id].flags & TOKEN_HERE)
            st = describe(t, (uint32_t)id, &b, err);
    silr_buf_clear(&b);
    if (st != SILR_OK || (st = model_tables(t, err)) != SILR_OK ||
        (st = added_tables(t, err)) != SILR_OK)
        return st;
    return find_ends(t, err);
}
