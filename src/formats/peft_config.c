/* peft_config.c - adapter_config.json: what it may say, and which modules it means.
 *
 * peft finds a module by a list of names (each the whole name, or its end behind a dot), by a regular
 * expression over the whole name, or takes all linear ones; a module's rank and alpha by expressions for
 * the end of its name. Much else can stand in the file. What leaves the scores alone is passed over; of
 * what would change them in a way silr does not, the first is named and the adapter refused. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/peft_inside.h"

#include <math.h>
#include <pcre2.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_RANK = 1 << 16,
    MAX_PATTERN = 4096, /* bytes */
    MAX_PATTERNS = 1 << 13,
    MAX_COSTLY = 64,   /* patterns that are not just names */
    STEPS = 10000,     /* of a match */
    HEAP_KIB = 8 * 1024,
};

static silr_status bad(const silr_peft_config *c, const char *what, silr_error *err)
{
    return silr_fail(err, SILR_EINPUT, "%s: %s", c->path, what);
}

/* --- patterns --------------------------------------------------------------------------------- */

static void *take_memory(PCRE2_SIZE n, void *unused)
{
    (void)unused;
    return silr_malloc(n);
}

static void give_memory(void *p, void *unused)
{
    (void)unused;
    silr_free(p);
}

/* Does pattern match all of s? It comes from the file, so it may be wrong, or made to take for ever. */
static silr_status match(const silr_peft_config *c, const char *pattern, const char *s, bool *yes,
                         silr_error *err)
{
    const uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    pcre2_compile_context *how = memory ? pcre2_compile_context_create(memory) : NULL;
    pcre2_match_context *limits = memory ? pcre2_match_context_create(memory) : NULL;
    pcre2_match_data *data = memory ? pcre2_match_data_create(1, memory) : NULL;
    pcre2_code *code = NULL;
    int rc = PCRE2_ERROR_NOMEMORY; /* what goes wrong with a match is negative, with a pattern positive */
    bool done = false;
    size_t at;

    *yes = false;
    if (how && limits && data)
        code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &rc, &at, how);
    if (code) {
        pcre2_set_match_limit(limits, STEPS);
        pcre2_set_depth_limit(limits, STEPS);
        pcre2_set_heap_limit(limits, HEAP_KIB);
        rc = pcre2_match(code, (PCRE2_SPTR)s, strlen(s), 0, 0, data, limits);
        *yes = rc >= 0;
        done = rc >= 0 || rc == PCRE2_ERROR_NOMATCH;
    }
    pcre2_code_free(code);
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_compile_context_free(how);
    pcre2_general_context_free(memory);
    if (done)
        return SILR_OK;
    if (rc == PCRE2_ERROR_NOMEMORY || rc == PCRE2_ERROR_HEAP_FAILED)
        return silr_fail_memory(err);
    return bad(c, "a pattern for modules is wrong, or too costly to match: name the modules instead", err);
}

static bool costly(const char *pattern)
{
    return strspn(pattern, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") !=
           strlen(pattern);
}

/* Does s end with `end`, as a whole or behind a dot? A dot of `end` stands for any character where it
 * is a pattern. */
static bool ends(const char *s, const char *end, bool pattern)
{
    const size_t n = strlen(s), m = strlen(end), from = n - m;

    if (m > n || (from > 0 && s[from - 1] != '.'))
        return false;
    for (size_t i = 0; i < m; i++)
        if (s[from + i] != end[i] && !(pattern && end[i] == '.'))
            return false;
    return true;
}

/* As rank_pattern and alpha_pattern mean it: the end of the name, itself a pattern. */
static silr_status match_end(const silr_peft_config *c, const char *pattern, const char *s, bool *yes,
                             silr_error *err)
{
    silr_buf whole = {0};
    silr_status st;

    *yes = !costly(pattern) && ends(s, pattern, true);
    if (!costly(pattern))
        return SILR_OK;
    silr_buf_printf(&whole, "(.*\\.)?(%s)", pattern);
    st = whole.failed ? silr_fail_memory(err) : match(c, whole.data, s, yes, err);
    silr_buf_clear(&whole);
    return st;
}

/* --- what it may say -------------------------------------------------------------------------- */

/* null, false, 0, "", [], {} and "not there" all mean no. */
static bool says_no(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_number(v) && json_number_value(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/* Ways to adapt that silr does not know. Whatever begins with use_ is one, but use_rslora. */
static silr_status no_other_ways(const silr_peft_config *c, silr_error *err)
{
    static const char *const other[] = {
        "alora_invocation_tokens", "arrow_config",    "fan_in_fan_out",    "layer_replication",
        "lora_bias",               "monteclora_config", "target_parameters", "trainable_token_indices",
        "velora_config",           "layers_pattern",
    };
    const char *key;
    json_t *value;

    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (!says_no(json_object_get(c->json, other[i])))
            return silr_fail(err, SILR_EINPUT, "%s: \"%s\" is set, which silr does not do", c->path,
                             other[i]);
    json_object_foreach(c->json, key, value)
    {
        if (strncmp(key, "use_", 4) == 0 && strcmp(key, "use_rslora") != 0 && !says_no(value) &&
            silr_entry_name_ok(key, strlen(key), 64))
            return silr_fail(err, SILR_EINPUT, "%s: \"%s\" is set, which silr does not do", c->path, key);
        if (strncmp(key, "use_", 4) == 0 && strcmp(key, "use_rslora") != 0 && !says_no(value))
            return bad(c, "something is to be used that silr does not know", err);
    }
    return SILR_OK;
}

static bool is_text(const json_t *v, const char *text)
{
    return json_is_string(v) && strcmp(json_string_value(v), text) == 0;
}

static bool rank_of(const json_t *v, size_t *r)
{
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > MAX_RANK)
        return false;
    *r = (size_t)json_integer_value(v);
    return true;
}

static bool alpha_of(const json_t *v, double *alpha)
{
    *alpha = json_number_value(v);
    return json_is_number(v) && *alpha > 0 && *alpha <= 1e6;
}

/* A list of texts, or nothing; with `one` also a text. */
static bool is_list(const json_t *v, bool one)
{
    if (!v || json_is_null(v))
        return true;
    if (json_is_string(v))
        return one && json_string_length(v) <= MAX_PATTERN;
    if (!json_is_array(v) || json_array_size(v) > MAX_PATTERNS)
        return false;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return false;
    return true;
}

static silr_status check_patterns(const silr_peft_config *c, const char *name, bool ranks, silr_error *err)
{
    json_t *patterns = json_object_get(c->json, name), *value;
    size_t many = 0, r;
    const char *key;
    double alpha;

    if (says_no(patterns))
        return SILR_OK;
    if (!json_is_object(patterns) || json_object_size(patterns) > MAX_PATTERNS)
        return silr_fail(err, SILR_EINPUT, "%s: \"%s\" is not a table of at most %d modules", c->path, name,
                         MAX_PATTERNS);
    json_object_foreach(patterns, key, value)
    {
        if (strlen(key) > MAX_PATTERN || (many += costly(key)) > MAX_COSTLY)
            return silr_fail(err, SILR_EINPUT, "%s: \"%s\" has more, or longer, patterns than silr takes",
                             c->path, name);
        if (ranks ? !rank_of(value, &r) : !alpha_of(value, &alpha))
            return silr_fail(err, SILR_EINPUT, "%s: \"%s\" has a value that is not a %s", c->path, name,
                             ranks ? "rank (1 to 65536)" : "positive number");
    }
    return SILR_OK;
}

/* Which layers it is for: none said (all), one, or a list. */
static bool layers_fine(const json_t *v)
{
    if (!v || json_is_null(v) || json_is_integer(v))
        return true;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_integer(json_array_get(v, i)))
            return false;
    return json_is_array(v) && json_array_size(v) <= MAX_PATTERNS;
}

static silr_status check_lists(const silr_peft_config *c, silr_error *err)
{
    const json_t *saved = json_object_get(c->json, "modules_to_save");
    const json_t *target = json_object_get(c->json, "target_modules");

    if (says_no(target) || !is_list(target, true))
        return bad(c, "\"target_modules\" is neither a list of modules nor a pattern", err);
    if (!is_list(json_object_get(c->json, "exclude_modules"), true))
        return bad(c, "\"exclude_modules\" is neither a list of modules nor a pattern", err);
    if (!layers_fine(json_object_get(c->json, "layers_to_transform")))
        return bad(c, "\"layers_to_transform\" is not a list of layers", err);
    if (!is_list(saved, false))
        return bad(c, "\"modules_to_save\" is not a list of modules", err);
    for (size_t i = 0; i < json_array_size(saved); i++)
        if (!is_text(json_array_get(saved, i), "score") && !is_text(json_array_get(saved, i), "classifier"))
            return bad(c, "\"modules_to_save\" has a module beside the head (score, classifier), which silr "
                          "does not train", err);
    return SILR_OK;
}

silr_status silr_peft_config_read(silr_peft_config *c, json_t *json, const char *path,
                                  silr_error *err)
{
    const json_t *bias = json_object_get(json, "bias"), *dropout = json_object_get(json, "lora_dropout");
    const json_t *rs = json_object_get(json, "use_rslora");
    silr_status st;

    *c = (silr_peft_config){.json = json, .path = path, .rslora = json_is_true(rs)};
    if (!is_text(json_object_get(json, "peft_type"), "LORA"))
        return bad(c, "is not the config of a LoRA adapter (\"peft_type\" is not \"LORA\")", err);
    if (!rank_of(json_object_get(json, "r"), &c->r))
        return bad(c, "\"r\" is not a rank (1 to 65536)", err);
    if (!alpha_of(json_object_get(json, "lora_alpha"), &c->alpha))
        return bad(c, "\"lora_alpha\" is not a positive number", err);
    c->dropout = json_number_value(dropout);
    if ((dropout && !json_is_number(dropout)) || !(c->dropout >= 0 && c->dropout < 1))
        return bad(c, "\"lora_dropout\" is not from 0 to below 1", err);
    if (bias && !is_text(bias, "none"))
        return bad(c, "\"bias\" is not \"none\": biases were trained too, which silr does not do", err);
    if (rs && !json_is_boolean(rs))
        return bad(c, "\"use_rslora\" is neither true nor false", err);
    if ((st = no_other_ways(c, err)) != SILR_OK || (st = check_lists(c, err)) != SILR_OK ||
        (st = check_patterns(c, "rank_pattern", true, err)) != SILR_OK)
        return st;
    return check_patterns(c, "alpha_pattern", false, err);
}

/* --- which modules it means ------------------------------------------------------------------- */

static silr_status listed(const silr_peft_config *c, const json_t *list, const char *module, bool *yes,
                          silr_error *err)
{
    *yes = false;
    if (json_is_string(list))
        return match(c, json_string_value(list), module, yes, err);
    for (size_t i = 0; i < json_array_size(list) && !*yes; i++)
        *yes = ends(module, json_string_value(json_array_get(list, i)), false);
    return SILR_OK;
}

static bool of_layers(const json_t *layers, size_t layer)
{
    if (says_no(layers) && !json_is_integer(layers))
        return true;
    if (json_is_integer(layers))
        return json_integer_value(layers) == (json_int_t)layer;
    for (size_t i = 0; i < json_array_size(layers); i++)
        if (json_integer_value(json_array_get(layers, i)) == (json_int_t)layer)
            return true;
    return false;
}

silr_status silr_peft_targets(const silr_peft_config *c, const char *module, size_t layer, bool *yes,
                              silr_error *err)
{
    const json_t *target = json_object_get(c->json, "target_modules");
    const json_t *exclude = json_object_get(c->json, "exclude_modules");
    bool not = false;
    silr_status st;

    *yes = false;
    if (!says_no(exclude) && (st = listed(c, exclude, module, &not, err)) != SILR_OK)
        return st;
    if (not)
        return SILR_OK;
    if (json_is_string(target) && strcasecmp(json_string_value(target), "all-linear") == 0) {
        *yes = true;
        return SILR_OK;
    }
    if ((st = listed(c, target, module, yes, err)) != SILR_OK)
        return st;
    if (json_is_array(target))
        *yes = *yes && of_layers(json_object_get(c->json, "layers_to_transform"), layer);
    return SILR_OK;
}

/* The value of the first pattern that the module's name ends with; NULL: of none. */
static silr_status pattern_value(const silr_peft_config *c, const char *name, const char *module,
                                 const json_t **out, silr_error *err)
{
    json_t *patterns = json_object_get(c->json, name), *value;
    silr_status st;
    const char *key;
    bool yes;

    *out = NULL;
    json_object_foreach(patterns, key, value)
    {
        if ((st = match_end(c, key, module, &yes, err)) != SILR_OK)
            return st;
        if (yes) {
            *out = value;
            return SILR_OK;
        }
    }
    return SILR_OK;
}

silr_status silr_peft_rank(const silr_peft_config *c, const char *module, size_t *r, double *alpha,
                           silr_error *err)
{
    const json_t *own;
    silr_status st;

    *r = c->r;
    *alpha = c->alpha;
    if ((st = pattern_value(c, "rank_pattern", module, &own, err)) != SILR_OK)
        return st;
    if (own)
        rank_of(own, r);
    if ((st = pattern_value(c, "alpha_pattern", module, &own, err)) != SILR_OK)
        return st;
    if (own)
        alpha_of(own, alpha);
    return SILR_OK;
}
