/* json.c - a tokenizer from tokenizer.json, and from the tokenizer_config.json beside it. */
#include "tokenizer/inside.h"
#include "formats/gguf.h"
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

enum { LARGEST = 96 << 20, LARGEST_CONFIG = 16 << 20 };

static bool flag(const json_t *j, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(j, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* jansson has no word for a lack of memory in some places: then there is no sentence, or a wrong
 * one. */
static silr_status load(json_t **out, const char *s, size_t len, const char *name, silr_error *err)
{
    json_error_t e;
    const uint64_t refused = silr_mem_refused();

    silr_mem_install();
    *out = json_loadb(s, len, JSON_ALLOW_NUL, &e);
    if (silr_mem_refused() != refused) { /* what jansson read without memory is not to be believed */
        json_decref(*out);
        *out = NULL;
        return silr_fail_memory(err);
    }
    if (*out)
        return json_is_object(*out) ? SILR_OK
                                    : silr_fail(err, SILR_EINPUT, "%s: not a JSON object", name);
    if (e.text[0] == '\0' || json_error_code(&e) == json_error_out_of_memory)
        return silr_fail_memory(err);
    return silr_fail(err, SILR_EINPUT, "%s:%d: %s", name, e.line, e.text);
}

/* --- added tokens
 * ---------------------------------------------------------------------------------- */

static silr_status read_added_token(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *content = json_object_get(j, "content"), *number = json_object_get(j, "id");
    const char *s = json_string_value(content);
    size_t len = json_string_length(content), id;
    silr_added a = {.special = flag(j, "special", false),
                    .lstrip = flag(j, "lstrip", false),
                    .rstrip = flag(j, "rstrip", false),
                    .single_word = flag(j, "single_word", false)};
    silr_status st;
    uint32_t known;

    a.normalized = flag(j, "normalized", !a.special);
    if (!s || !json_is_integer(number) || json_integer_value(number) < 0)
        return silr_fail(err, SILR_EINPUT, "%s: an added token without content or id", t->name);
    if (len == 0)
        return SILR_OK;
    id = (size_t)json_integer_value(number);
    known = silr_tok_by_name(t, s, len);
    if (known != SILR_TOK_NONE)
        id = known;
    else if (id > 4 * (t->n + 1) + 65536)
        return silr_fail(err, SILR_EINPUT,
                         "%s: the added token \"%.60s\" has an id far beyond the vocabulary",
                         t->name, s);
    if ((st = silr_tok_put_token(t, id, s, len, a.special ? TOKEN_SPECIAL : TOKEN_ADDED,
                                 id < t->n ? t->token[id].score : 0, err)) != SILR_OK)
        return st;
    a.id = (uint32_t)id;
    a.text = t->token[id].name;
    a.len = len;
    return silr_tok_add_added(t, a, err);
}

static silr_status read_added(silr_tokenizer *t, const json_t *j, silr_error *err)
{
    const json_t *v;
    silr_status st;
    size_t i;

    json_array_foreach(j, i, v) if ((st = read_added_token(t, v, err)) != SILR_OK) return st;
    return silr_tok_index(t, err);
}

/* --- the decoder
 * -------------------------------------------------------------------------------------- */

static void read_decoder(silr_tokenizer *t, const json_t *j, int depth)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *v;
    size_t i;

    if (!type || depth > 16)
        return;
    if (strcmp(type, "Sequence") == 0) {
        json_array_foreach(json_object_get(j, "decoders"), i, v) read_decoder(t, v, depth + 1);
    } else if (strcmp(type, "WordPiece") == 0)
        t->decode_cleanup = flag(j, "cleanup", true);
    else if (strcmp(type, "Metaspace") == 0) {
        const char *scheme = json_string_value(json_object_get(j, "prepend_scheme"));
        t->decode = DECODE_SPACES;
        t->decode_strip = scheme ? strcmp(scheme, "never") != 0 : flag(j, "add_prefix_space", true);
    } else if (strcmp(type, "Replace") == 0)
        t->decode = DECODE_SPACES;
    else if (strcmp(type, "Strip") == 0)
        t->decode_strip = json_integer_value(json_object_get(j, "start")) > 0;
}

/* --- the configuration
 * --------------------------------------------------------------------------------- */

/* A token of the configuration: a string, or an object with "content". */
static int64_t config_token(const silr_tokenizer *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    uint32_t id;

    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (!json_is_string(v))
        return -1;
    id = silr_tok_by_name(t, json_string_value(v), json_string_length(v));
    return id == SILR_TOK_NONE ? -1 : (int64_t)id;
}

/* The first of the names that is a special token. */
static int64_t usual(const silr_tokenizer *t, const char *const *names)
{
    for (; *names; names++) {
        uint32_t id = silr_tok_by_name(t, *names, strlen(*names));
        if (id != SILR_TOK_NONE && (t->token[id].flags & TOKEN_SPECIAL))
            return id;
    }
    return -1;
}

/* chat_template: a string, or a list of {name, template}: the default one, else the first. */
static const json_t *config_template(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template"), *each, *found;
    size_t i;

    if (!json_is_array(v))
        return v;
    found = json_object_get(json_array_get(v, 0), "template");
    json_array_foreach(v, i, each)
    {
        const char *name = json_string_value(json_object_get(each, "name"));
        if (name && strcmp(name, "default") == 0)
            found = json_object_get(each, "template");
    }
    return found;
}

static silr_status read_config(silr_tokenizer *t, const json_t *config, const char *jinja,
                               silr_error *err)
{
    static const char *const begins[] = {"<s>", "<|begin_of_text|>", "<bos>", "[CLS]", NULL};
    static const char *const ends[] = {"</s>",          "<|end_of_text|>", "<eos>",
                                       "<|endoftext|>", "[SEP]",           NULL};
    const json_t *template = config_template(config);

    t->bos = config ? config_token(t, config, "bos_token") : usual(t, begins);
    t->eos = config ? config_token(t, config, "eos_token") : usual(t, ends);
    if (!jinja && json_is_string(template))
        jinja = json_string_value(template);
    if (jinja && !(t->template = silr_strdup(jinja)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static silr_status read_tokenizer(silr_tokenizer *t, const json_t *j, const json_t *config,
                                  const char *jinja, silr_error *err)
{
    const json_t *decoder = json_object_get(j, "decoder");
    silr_status st;

    if (!json_is_object(json_object_get(j, "model")))
        return silr_fail(err, SILR_EINPUT, "%s: not a tokenizer: there is no \"model\"", t->name);
    if ((st = silr_tok_read_normalizer(t, json_object_get(j, "normalizer"), err)) != SILR_OK ||
        (st = silr_tok_read_splits(t, json_object_get(j, "pre_tokenizer"), err)) != SILR_OK ||
        (st = silr_tok_read_model(t, json_object_get(j, "model"), err)) != SILR_OK ||
        (st = read_added(t, json_object_get(j, "added_tokens"), err)) != SILR_OK ||
        (st = silr_tok_read_frame(t, json_object_get(j, "post_processor"), err)) != SILR_OK)
        return st;
    read_decoder(t, decoder, 0);
    if (t->model == MODEL_WORDPIECE) {
        t->decode = DECODE_WORDPIECE;
        t->decode_strip = true;
    }
    if ((st = read_config(t, config, jinja, err)) != SILR_OK ||
        (st = silr_tok_finish(t, err)) != SILR_OK)
        return st;
    return silr_tok_recognise(t, err);
}

typedef struct {
    const char *s; /* NULL: none */
    size_t len;
} span;

static silr_status parse(silr_tokenizer **out, span json, span config, const char *jinja,
                         const char *name, silr_error *err)
{
    silr_tokenizer *t = NULL;
    json_t *j = NULL, *c = NULL;
    silr_status st;

    *out = NULL;
    if ((st = silr_tok_new(&t, name, err)) != SILR_OK ||
        (st = load(&j, json.s ? json.s : "", json.len, name, err)) != SILR_OK)
        goto done;
    if (config.s && (st = load(&c, config.s, config.len, name, err)) != SILR_OK) {
        silr_error_prefix(err, "tokenizer_config.json");
        goto done;
    }
    if ((st = read_tokenizer(t, j, c, jinja, err)) != SILR_OK)
        goto done;
    *out = t;
    t = NULL;
done:
    silr_tokenizer_free(t);
    json_decref(j);
    json_decref(c);
    return st;
}

silr_status silr_tokenizer_parse(silr_tokenizer **out, const char *json, size_t len,
                                 const char *config, size_t config_len, const char *name,
                                 silr_error *err)
{
    return parse(out, (span){json, len}, (span){config, config_len}, NULL, name, err);
}

/* --- files
 * ------------------------------------------------------------------------------------------------
 */

/* Reads dir/name into b, if there is one. */
static silr_status read_beside(silr_buf *b, const char *dir, const char *name, silr_error *err)
{
    char *path = silr_path_join(dir, name);
    silr_status st = SILR_OK;

    if (!path)
        return silr_fail_memory(err);
    if (silr_file_exists(path))
        st = silr_file_read(b, path, LARGEST_CONFIG, err);
    silr_free(path);
    return st;
}

static bool is_gguf(const char *path)
{
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    bool is = f && fread(magic, 1, 4, f) == 4 && memcmp(magic, "GGUF", 4) == 0;

    if (f)
        fclose(f);
    return is;
}

static silr_status open_gguf(silr_tokenizer **out, const char *path, silr_error *err)
{
    silr_gguf *g;
    silr_status st = silr_gguf_open(&g, path, err);

    if (st != SILR_OK)
        return st;
    st = silr_tok_from_gguf(out, g, path, err);
    if (st == SILR_OK && (st = silr_gguf_intact(g, err)) != SILR_OK) {
        silr_tokenizer_free(*out);
        *out = NULL;
    }
    silr_gguf_free(g);
    return st;
}

silr_status silr_tokenizer_open(silr_tokenizer **out, const char *path, silr_error *err)
{
    struct stat info;
    bool folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    char *file = folder ? silr_path_join(path, "tokenizer.json") : silr_strdup(path);
    char *dir = folder ? silr_strdup(path) : silr_path_dir(path);
    silr_buf json = {0}, config = {0}, jinja = {0};
    silr_status st;

    *out = NULL;
    if (!file || !dir) {
        st = silr_fail_memory(err);
        goto done;
    }
    if (!folder && is_gguf(path)) {
        st = open_gguf(out, path, err);
        goto done;
    }
    if ((st = silr_file_read(&json, file, LARGEST, err)) != SILR_OK ||
        (st = read_beside(&config, dir, "tokenizer_config.json", err)) != SILR_OK ||
        (st = read_beside(&jinja, dir, "chat_template.jinja", err)) != SILR_OK)
        goto done;
    st = parse(out, (span){json.data, json.len}, (span){config.data, config.len}, jinja.data, file,
               err);
done:
    silr_buf_clear(&json);
    silr_buf_clear(&config);
    silr_buf_clear(&jinja);
    silr_free(file);
    silr_free(dir);
    return st;
}
