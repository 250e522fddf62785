/* model.c - the "model" of a tokenizer.json: vocabulary, merges or scores, and what is done with
 * what the vocabulary lacks. */
#include "tokenizer/inside.h"
#include <jansson.h>
#include <string.h>

static bool flag(const json_t *j, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(j, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static bool is_byte_name(const char *s, size_t len)
{
    return len == 6 && memcmp(s, "<0x", 3) == 0 && s[5] == '>';
}

/* "vocab": {"piece": id, ...} */
static silr_status read_vocab(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    json_t *vocab = json_object_get(j, "vocab"), *v;
    size_t n = json_object_size(vocab), len;
    const char *name;
    silr_status st;

    if (!json_is_object(vocab))
        return silr_fail(err, SILR_EINPUT, "%s: the model's \"vocab\" is not an object", t->name);
    json_object_keylen_foreach(vocab, name, len, v)
    {
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        uint32_t flags =
            TOKEN_MODEL | (t->byte_fallback && is_byte_name(name, len) ? TOKEN_BYTE : 0);
        if (id < 0 || (size_t)id > 4 * n + 65536)
            return silr_fail(err, SILR_EINPUT,
                             "%s: the token \"%.60s\" has no id, or one far beyond the %zu tokens",
                             t->name, name, n);
        if ((st = silr_tok_put_token(t, (size_t)id, name, len, flags, 0, err)) != SILR_OK)
            return st;
    }
    return SILR_OK;
}

/* The id of unk_token. */
static silr_status read_unknown(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *v = json_object_get(j, "unk_token");

    if (!v || json_is_null(v))
        return SILR_OK;
    if (!json_is_string(v) ||
        (t->unknown = silr_tok_by_name(t, json_string_value(v), json_string_length(v))) ==
            SILR_TOK_NONE)
        return silr_fail(err, SILR_EINPUT, "%s: the vocabulary lacks its own unk_token", t->name);
    t->token[t->unknown].flags |= TOKEN_UNKNOWN;
    return SILR_OK;
}

/* The two names of a merge: ["a", "b"], or "a b". */
static bool merge_names(const json_t *v, const char **a, size_t *a_len, const char **b,
                        size_t *b_len)
{
    const char *s, *space;

    if (json_is_array(v) && json_array_size(v) == 2) {
        *a = json_string_value(json_array_get(v, 0));
        *b = json_string_value(json_array_get(v, 1));
        *a_len = json_string_length(json_array_get(v, 0));
        *b_len = json_string_length(json_array_get(v, 1));
        return *a && *b;
    }
    s = json_string_value(v);
    space = s && *s ? strchr(s + 1, ' ') : NULL;
    if (!space)
        return false;
    *a = s;
    *a_len = (size_t)(space - s);
    *b = space + 1;
    *b_len = json_string_length(v) - *a_len - 1;
    return true;
}

static silr_status read_merge(silr_tokenizer *t, const json_t *v, size_t i, silr_buf *whole,
                              silr_merge_rule *out, silr_error *err)
{
    const char *a, *b;
    size_t a_len, b_len;

    if (!merge_names(v, &a, &a_len, &b, &b_len))
        return silr_fail(err, SILR_EINPUT, "%s: merge %zu is not a pair", t->name, i);
    silr_buf_reset(whole);
    silr_buf_add(whole, a, a_len);
    silr_buf_add(whole, b, b_len);
    if (whole->failed)
        return silr_fail_memory(err);
    out->left = silr_tok_by_name(t, a, a_len);
    out->right = silr_tok_by_name(t, b, b_len);
    out->id = silr_tok_by_name(t, whole->data, whole->len);
    if (out->left == SILR_TOK_NONE || out->right == SILR_TOK_NONE || out->id == SILR_TOK_NONE)
        return silr_fail(
            err, SILR_EINPUT,
            "%s: merge %zu (\"%.40s\" and \"%.40s\") is of tokens that the vocabulary lacks",
            t->name, i, a, b);
    return SILR_OK;
}

static silr_status read_merges(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *merges = json_object_get(j, "merges");
    size_t n = json_array_size(merges);
    silr_merge_rule *rule = silr_alloc(n, sizeof *rule);
    silr_buf whole = {0};
    silr_status st = rule ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && !json_is_array(merges))
        st = silr_fail(err, SILR_EINPUT, "%s: the model's \"merges\" are not a list", t->name);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = read_merge(t, json_array_get(merges, i), i, &whole, &rule[i], err);
    if (st == SILR_OK)
        st = silr_tok_merges(t, rule, n, true, err);
    silr_buf_clear(&whole);
    silr_free(rule);
    return st;
}

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0);
}

static silr_status read_bpe(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *dropout = json_object_get(j, "dropout");
    silr_status st;

    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: BPE with dropout gives no text the same tokens twice", t->name);
    if (!is_empty(json_object_get(j, "continuing_subword_prefix")) ||
        !is_empty(json_object_get(j, "end_of_word_suffix")))
        return silr_fail(
            err, SILR_EINPUT,
            "%s: silr does not know BPE with continuing_subword_prefix or end_of_word_suffix",
            t->name);
    t->model = MODEL_BPE;
    t->byte_fallback = flag(j, "byte_fallback", false);
    t->fuse_unknown = flag(j, "fuse_unk", false);
    t->ignore_merges = flag(j, "ignore_merges", false);
    if ((st = read_vocab(t, j, err)) != SILR_OK || (st = silr_tok_index(t, err)) != SILR_OK ||
        (st = read_unknown(t, j, err)) != SILR_OK)
        return st;
    return read_merges(t, j, err);
}

static silr_status read_wordpiece(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *prefix = json_object_get(j, "continuing_subword_prefix");
    const json_t *most = json_object_get(j, "max_input_chars_per_word");
    silr_status st;

    t->model = MODEL_WORDPIECE;
    t->max_chars = json_is_integer(most) && json_integer_value(most) > 0
                       ? (size_t)json_integer_value(most)
                       : 100;
    if (!(t->inner_prefix = silr_strdup(json_is_string(prefix) ? json_string_value(prefix) : "##")))
        return silr_fail_memory(err);
    if ((st = read_vocab(t, j, err)) != SILR_OK || (st = silr_tok_index(t, err)) != SILR_OK)
        return st;
    return read_unknown(t, j, err);
}

/* "vocab": [["piece", score], ...] */
static silr_status read_unigram(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *vocab = json_object_get(j, "vocab"), *unknown = json_object_get(j, "unk_id"), *v;
    double least = 0;
    silr_status st;
    size_t i;

    t->model = MODEL_UNIGRAM;
    t->fuse_unknown = true;
    t->byte_fallback = flag(j, "byte_fallback", false);
    if (!json_is_array(vocab) || json_array_size(vocab) == 0)
        return silr_fail(err, SILR_EINPUT, "%s: the model's \"vocab\" is not a list", t->name);
    json_array_foreach(vocab, i, v)
    {
        const json_t *piece = json_array_get(v, 0), *score = json_array_get(v, 1);
        const char *name = json_string_value(piece);
        size_t len = json_string_length(piece);
        if (!name || !json_is_number(score))
            return silr_fail(err, SILR_EINPUT, "%s: token %zu is not a piece with a score", t->name,
                             i);
        if ((st = silr_tok_put_token(
                 t, i, name, len,
                 TOKEN_MODEL | (t->byte_fallback && is_byte_name(name, len) ? TOKEN_BYTE : 0),
                 json_number_value(score), err)) != SILR_OK)
            return st;
        if (i == 0 || json_number_value(score) < least)
            least = json_number_value(score);
    }
    t->unknown_score = least - 10;
    if (json_is_integer(unknown)) {
        if (json_integer_value(unknown) < 0 || (size_t)json_integer_value(unknown) >= t->n)
            return silr_fail(err, SILR_EINPUT, "%s: unk_id is not the id of a token", t->name);
        t->unknown = (uint32_t)json_integer_value(unknown);
        t->token[t->unknown].flags |= TOKEN_UNKNOWN;
    }
    return silr_tok_index(t, err);
}

silr_status silr_tok_read_model(silr_tokenizer *t, const struct json_t *j, silr_error *err)
{
    const char *type = json_string_value(json_object_get(j, "type"));

    if (!type) /* old files do not say */
        type = json_object_get(j, "merges")                     ? "BPE"
               : json_is_array(json_object_get(j, "vocab"))     ? "Unigram"
               : json_object_get(j, "max_input_chars_per_word") ? "WordPiece"
                                                                : "";
    if (strcmp(type, "BPE") == 0)
        return read_bpe(t, j, err);
    if (strcmp(type, "WordPiece") == 0)
        return read_wordpiece(t, j, err);
    if (strcmp(type, "Unigram") == 0)
        return read_unigram(t, j, err);
    return silr_fail(err, SILR_EINPUT, "%s: silr does not know the model \"%.60s\"", t->name, type);
}
