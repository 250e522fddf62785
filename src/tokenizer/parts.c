/* parts.c - the normaliser, the pre-tokenizer and the post-processor of a tokenizer.json.
 *
 * Each is an object with a "type"; a Sequence holds others. What is not known here is refused by
 * name: a tokenizer that is nearly right gives a model texts that it has never seen. */
#include "tokenizer/inside.h"
#include <jansson.h>
#include <string.h>

enum { DEEPEST = 16, LONGEST = 4096 };

static const char *type_of(const json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    return type ? type : "";
}

static bool flag(const json_t *j, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(j, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static silr_status unknown(const silr_tokenizer *t, const char *what, const json_t *j,
                           silr_error *err)
{
    return silr_fail(err, SILR_EINPUT, "%s: silr does not know the %s \"%.60s\"", t->name, what,
                     type_of(j));
}

static silr_status copy(silr_tokenizer *t, const json_t *j, const char *key, const char **out,
                        size_t *len, silr_error *err)
{
    const json_t *v = json_object_get(j, key);

    if (!json_is_string(v))
        return silr_fail(err, SILR_EINPUT, "%s: \"%s\" of \"%.60s\" is not a string", t->name, key,
                         type_of(j));
    *len = json_string_length(v);
    if (*len > LONGEST)
        return silr_fail(err, SILR_EINPUT, "%s: \"%s\" of \"%.60s\" has %zu bytes; %d are the most",
                         t->name, key, type_of(j), *len, LONGEST);
    *out = silr_arena_strndup(&t->arena, json_string_value(v), *len);
    return *out ? SILR_OK : silr_fail_memory(err);
}

/* "pattern": {"String": ...} or {"Regex": ...}: one of *string and *regex is set. */
static silr_status pattern(silr_tokenizer *t, const json_t *j, const char **string, size_t *len,
                           silr_tok_regex **regex, silr_tok_scan **scan, silr_error *err)
{
    const json_t *p = json_object_get(j, "pattern"), *v;

    if (json_is_string(json_object_get(p, "String"))) {
        silr_status st = copy(t, p, "String", string, len, err);
        if (st == SILR_OK && *len == 0)
            return silr_fail(err, SILR_EINPUT, "%s: an empty pattern in \"%.60s\"", t->name,
                             type_of(j));
        return st;
    }
    if (!json_is_string(v = json_object_get(p, "Regex")))
        return silr_fail(err, SILR_EINPUT, "%s: no pattern in \"%.60s\"", t->name, type_of(j));
    if (scan && (*scan = silr_tok_scanner(json_string_value(v), json_string_length(v))))
        return SILR_OK;
    return silr_tok_regex_new(regex, json_string_value(v), json_string_length(v), t->name, err);
}

/* --- normalisers
 * ----------------------------------------------------------------------------------- */

static int digit64(unsigned char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static bool from_base64(silr_buf *out, const char *s, size_t len)
{
    uint32_t bits = 0;
    int n = 0;

    while (len > 0 && s[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int d = digit64((unsigned char)s[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        if ((n += 6) >= 8) {
            n -= 8;
            silr_buf_putc(out, (char)(bits >> n));
        }
    }
    return true;
}

static silr_status charsmap(silr_tokenizer *t, const json_t *j, silr_normal *step, silr_error *err)
{
    const json_t *v = json_object_get(j, "precompiled_charsmap");
    silr_buf b = {0};
    silr_status st;

    step->whole = true;
    if (!json_is_string(v) || !from_base64(&b, json_string_value(v), json_string_length(v)))
        st = silr_fail(err, SILR_EINPUT, "%s: \"precompiled_charsmap\" is not base64", t->name);
    else if (b.failed)
        st = silr_fail_memory(err);
    else
        st = silr_charsmap_read(&step->map, b.data ? b.data : "", b.len, t->name, err);
    silr_buf_clear(&b);
    return st;
}

static const struct {
    const char *type;
    silr_normal_kind kind;
} normals[] = {
    {"NFC", NORMAL_NFC},
    {"NFD", NORMAL_NFD},
    {"NFKC", NORMAL_NFKC},
    {"NFKD", NORMAL_NFKD},
    {"Lowercase", NORMAL_LOWER},
    {"StripAccents", NORMAL_STRIP_ACCENTS},
    {"BertNormalizer", NORMAL_BERT},
    {"Replace", NORMAL_REPLACE},
    {"Prepend", NORMAL_PREPEND},
    {"Precompiled", NORMAL_CHARSMAP},
    {"Strip", NORMAL_STRIP},
    {"Nmt", NORMAL_NMT},
};

static silr_status normal_step(silr_tokenizer *t, const json_t *j, silr_normal *step,
                               silr_error *err)
{
    const char *type = type_of(j);
    silr_status st;
    size_t i = 0;

    while (i < sizeof normals / sizeof *normals && strcmp(normals[i].type, type) != 0)
        i++;
    if (i == sizeof normals / sizeof *normals)
        return unknown(t, "normalizer", j, err);
    step->kind = normals[i].kind;
    switch (step->kind) {
    case NORMAL_BERT:
        step->clean = flag(j, "clean_text", true);
        step->chinese = flag(j, "handle_chinese_chars", true);
        step->lower = flag(j, "lowercase", true);
        step->accents = flag(j, "strip_accents", step->lower);
        return SILR_OK;
    case NORMAL_REPLACE:
        if ((st = copy(t, j, "content", &step->to, &step->to_len, err)) != SILR_OK)
            return st;
        return pattern(t, j, &step->from, &step->from_len, &step->regex, NULL, err);
    case NORMAL_PREPEND:
        return copy(t, j, "prepend", &step->to, &step->to_len, err);
    case NORMAL_CHARSMAP:
        return json_is_null(json_object_get(j, "precompiled_charsmap")) ? SILR_OK
                                                                        : charsmap(t, j, step, err);
    case NORMAL_STRIP:
        step->clean = flag(j, "strip_left", true);
        step->chinese = flag(j, "strip_right", true);
        return SILR_OK;
    default:
        return SILR_OK;
    }
}

static silr_status read_normal(silr_tokenizer *t, const json_t *j, int depth, silr_error *err)
{
    silr_normal step = {0};
    const json_t *v;
    silr_status st = SILR_OK;
    size_t i;

    if (!j || json_is_null(j))
        return SILR_OK;
    if (depth > DEEPEST)
        return silr_fail(err, SILR_EINPUT, "%s: normalizers nested too deeply", t->name);
    if (strcmp(type_of(j), "Sequence") == 0) {
        json_array_foreach(json_object_get(j, "normalizers"), i,
                           v) if ((st = read_normal(t, v, depth + 1, err)) != SILR_OK) return st;
        return SILR_OK;
    }
    if ((st = normal_step(t, j, &step, err)) != SILR_OK) {
        silr_normal_clear(&step);
        return st;
    }
    return silr_tok_add_normal(t, step, err);
}

silr_status silr_tok_read_normalizer(silr_tokenizer *t, const struct json_t *j, silr_error *err)
{
    return read_normal(t, j, 0, err);
}

/* --- pre-tokenizers
 * ---------------------------------------------------------------------------------- */

static silr_status read_cut(const silr_tokenizer *t, const json_t *j, silr_cut *out,
                            silr_error *err)
{
    static const struct {
        const char *name;
        silr_cut cut;
    } cuts[] = {{"Isolated", CUT_ISOLATED},
                {"Removed", CUT_REMOVED},
                {"MergedWithPrevious", CUT_PREVIOUS},
                {"MergedWithNext", CUT_NEXT},
                {"Contiguous", CUT_CONTIGUOUS}};
    const char *name = json_string_value(json_object_get(j, "behavior"));

    for (size_t i = 0; name && i < sizeof cuts / sizeof *cuts; i++)
        if (strcmp(cuts[i].name, name) == 0) {
            *out = cuts[i].cut;
            return SILR_OK;
        }
    return silr_fail(err, SILR_EINPUT, "%s: silr does not know the behavior \"%.60s\" of \"%.60s\"",
                     t->name, name ? name : "", type_of(j));
}

static silr_status metaspace(silr_tokenizer *t, const json_t *j, silr_split *step, silr_error *err)
{
    const char *scheme = json_string_value(json_object_get(j, "prepend_scheme"));
    silr_status st = copy(t, j, "replacement", &step->string, &step->string_len, err);

    if (st != SILR_OK)
        return st;
    if (step->string_len == 0 || step->string_len > 16)
        return silr_fail(err, SILR_EINPUT,
                         "%s: an empty replacement in \"Metaspace\", or a long one", t->name);
    step->kind = SPLIT_METASPACE;
    step->cut = CUT_NEXT;
    step->split = flag(j, "split", true);
    if (!scheme)
        scheme = flag(j, "add_prefix_space", true) ? "always" : "never";
    step->prefix = strcmp(scheme, "always") == 0  ? PREFIX_ALWAYS
                   : strcmp(scheme, "first") == 0 ? PREFIX_FIRST
                                                  : PREFIX_NEVER;
    return SILR_OK;
}

static silr_status byte_level(silr_tokenizer *t, const json_t *j, silr_split *step)
{
    step->kind = SPLIT_BYTES;
    step->prefix = flag(j, "add_prefix_space", true) ? PREFIX_ALWAYS : PREFIX_NEVER;
    step->scan = flag(j, "use_regex", true) ? silr_tok_scan_gpt2 : NULL;
    t->byte_level = true;
    return SILR_OK;
}

static silr_status split_step(silr_tokenizer *t, const json_t *j, silr_split *step, silr_error *err)
{
    const char *type = type_of(j);
    silr_status st;

    *step = (silr_split){.kind = SPLIT_PUNCT};
    if (strcmp(type, "ByteLevel") == 0)
        return byte_level(t, j, step);
    if (strcmp(type, "Metaspace") == 0)
        return metaspace(t, j, step, err);
    if (strcmp(type, "Digits") == 0) {
        step->kind = SPLIT_DIGITS;
        step->cut = flag(j, "individual_digits", false) ? CUT_ISOLATED : CUT_CONTIGUOUS;
    } else if (strcmp(type, "Whitespace") == 0) {
        step->kind = SPLIT_WORDS; /* what is between the words goes */
        step->invert = true;
        step->cut = CUT_REMOVED;
    } else if (strcmp(type, "WhitespaceSplit") == 0) {
        step->kind = SPLIT_SPACE;
        step->cut = CUT_REMOVED;
    } else if (strcmp(type, "Punctuation") == 0) {
        if (json_object_get(j, "behavior"))
            return read_cut(t, j, &step->cut, err);
    } else if (strcmp(type, "Split") == 0) {
        if ((st = read_cut(t, j, &step->cut, err)) != SILR_OK ||
            (st = pattern(t, j, &step->string, &step->string_len, &step->regex, &step->scan,
                          err)) != SILR_OK)
            return st;
        step->kind = step->scan ? SPLIT_SCAN : step->regex ? SPLIT_PATTERN : SPLIT_STRING;
        step->invert = flag(j, "invert", false);
    } else
        return unknown(t, "pre-tokenizer", j, err);
    return SILR_OK;
}

static silr_status read_split(silr_tokenizer *t, const json_t *j, int depth, silr_error *err)
{
    silr_split step;
    const json_t *v;
    silr_status st;
    size_t i;

    if (!j || json_is_null(j))
        return SILR_OK;
    if (depth > DEEPEST)
        return silr_fail(err, SILR_EINPUT, "%s: pre-tokenizers nested too deeply", t->name);
    if (strcmp(type_of(j), "Sequence") == 0) {
        json_array_foreach(json_object_get(j, "pretokenizers"), i,
                           v) if ((st = read_split(t, v, depth + 1, err)) != SILR_OK) return st;
        return SILR_OK;
    }
    if (t->byte_level)
        return silr_fail(err, SILR_EINPUT, "%s: a pre-tokenizer (\"%.60s\") behind \"ByteLevel\"",
                         t->name, type_of(j));
    if (strcmp(type_of(j), "BertPreTokenizer") == 0) {
        step = (silr_split){.kind = SPLIT_SPACE, .cut = CUT_REMOVED};
        if ((st = silr_tok_add_split(t, step, err)) != SILR_OK)
            return st;
        step = (silr_split){.kind = SPLIT_PUNCT, .cut = CUT_ISOLATED};
    } else if ((st = split_step(t, j, &step, err)) != SILR_OK)
        return st;
    return silr_tok_add_split(t, step, err);
}

silr_status silr_tok_read_splits(silr_tokenizer *t, const struct json_t *j, silr_error *err)
{
    return read_split(t, j, 0, err);
}

/* --- the frame
 * ------------------------------------------------------------------------------------------- */

/* Puts id in front of the frame's first part, or behind its second. */
static silr_status frame(silr_tokenizer *t, bool behind, const json_t *id, silr_error *err)
{
    json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;

    if (v < 0 || (size_t)v >= t->n || !(t->token[v].flags & TOKEN_HERE))
        return silr_fail(err, SILR_EINPUT,
                         "%s: the post-processor has a token that the vocabulary lacks", t->name);
    if (behind ? !silr_grow(&t->after, &t->after_cap, t->n_after + 1, sizeof *t->after)
               : !silr_grow(&t->before, &t->before_cap, t->n_before + 1, sizeof *t->before))
        return silr_fail_memory(err);
    if (behind)
        t->after[t->n_after++] = (uint32_t)v;
    else {
        memmove(t->before + 1, t->before, t->n_before * sizeof *t->before);
        t->before[0] = (uint32_t)v;
        t->n_before++;
    }
    return SILR_OK;
}

/* All ids of one template's special token. */
static silr_status frame_special(silr_tokenizer *t, bool behind, const json_t *specials,
                                 const char *name, silr_error *err)
{
    const json_t *ids = name ? json_object_get(json_object_get(specials, name), "ids") : NULL;
    size_t n = json_array_size(ids);
    silr_status st = SILR_OK;

    if (n == 0 || n > 64)
        return silr_fail(err, SILR_EINPUT, "%s: the post-processor does not say what \"%.60s\" is",
                         t->name, name ? name : "");
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = frame(t, behind, json_array_get(ids, behind ? i : n - 1 - i), err);
    return st;
}

static silr_status template(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *single = json_object_get(j, "single"),
                 *specials = json_object_get(j, "special_tokens");
    size_t n = json_array_size(single), text = 0;
    silr_status st = SILR_OK;

    while (text < n && !json_object_get(json_array_get(single, text), "Sequence"))
        text++;
    if (text == n || n > 64)
        return silr_fail(err, SILR_EINPUT, "%s: the post-processor's template has no text in it",
                         t->name);
    for (size_t i = text; st == SILR_OK && i-- > 0;)
        st = frame_special(t, false, specials,
                           json_string_value(json_object_get(
                               json_object_get(json_array_get(single, i), "SpecialToken"), "id")),
                           err);
    for (size_t i = text + 1; st == SILR_OK && i < n; i++)
        st = frame_special(t, true, specials,
                           json_string_value(json_object_get(
                               json_object_get(json_array_get(single, i), "SpecialToken"), "id")),
                           err);
    return st;
}

static silr_status read_frame(silr_tokenizer *t, const json_t *j, int depth, silr_error *err)
{
    const char *type = type_of(j);
    const json_t *v;
    silr_status st;
    size_t i;

    if (!j || json_is_null(j) || strcmp(type, "ByteLevel") == 0)
        return SILR_OK;
    if (depth > DEEPEST)
        return silr_fail(err, SILR_EINPUT, "%s: post-processors nested too deeply", t->name);
    if (strcmp(type, "Sequence") == 0) {
        json_array_foreach(json_object_get(j, "processors"), i,
                           v) if ((st = read_frame(t, v, depth + 1, err)) != SILR_OK) return st;
        return SILR_OK;
    }
    if (strcmp(type, "TemplateProcessing") == 0)
        return template(t, j, err);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        if ((st = frame(t, false, json_array_get(json_object_get(j, "cls"), 1), err)) != SILR_OK)
            return st;
        return frame(t, true, json_array_get(json_object_get(j, "sep"), 1), err);
    }
    return unknown(t, "post-processor", j, err);
}

silr_status silr_tok_read_frame(silr_tokenizer *t, const struct json_t *j, silr_error *err)
{
    return read_frame(t, j, 0, err);
}
