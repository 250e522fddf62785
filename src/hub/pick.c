/* pick.c - which of a model's files silr needs.
 *
 * The small ones by their names. Of the weights one set: the shards that an index belongs to, else
 * model.safetensors, else the only safetensors file, else the only GGUF file. Weights in formats that
 * run code when they are read (pickles) are no choice. */
#include "hub/inside.h"
#include <fnmatch.h>
#include <string.h>

static const char *const small_ones[] = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "generation_config.json", "modules.json", "sentence_bert_config.json",
    "config_sentence_transformers.json", "chat_template.jinja", "1_Pooling/config.json"};

static bool is_small(const char *name)
{
    for (size_t i = 0; i < sizeof small_ones / sizeof *small_ones; i++)
        if (strcmp(name, small_ones[i]) == 0)
            return true;
    return fnmatch("tokenizer*.json", name, FNM_PATHNAME) == 0 ||
           fnmatch("1_Pooling/*", name, FNM_PATHNAME) == 0;
}

static bool has(const silr_hub_tree *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->entry[i].name, name) == 0)
            return true;
    return false;
}

/* Marks what matches; how many. */
static size_t mark(const silr_hub_tree *t, const char *glob, int flags, bool *which)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        if (fnmatch(glob, t->entry[i].name, flags) == 0) {
            which[i] = true;
            n++;
        }
    return n;
}

/* The names that match, for people: as many as there is room for. */
static void tell(const silr_hub_tree *t, const char *glob, char *out, size_t room)
{
    size_t at = 0, told = 0;

    out[0] = '\0';
    for (size_t i = 0; i < t->n; i++) {
        size_t len = strlen(t->entry[i].name);
        if (fnmatch(glob, t->entry[i].name, 0) != 0)
            continue;
        if (told == 8 || at + len + 8 > room) {
            memcpy(out + at, ", ...", 6);
            return;
        }
        if (told++ > 0) {
            memcpy(out + at, ", ", 3);
            at += 2;
        }
        memcpy(out + at, t->entry[i].name, len + 1);
        at += len;
    }
}

static silr_status pick_included(const silr_hub_tree *t, const silr_hub_want *want, bool *which,
                                 silr_error *err)
{
    for (size_t g = 0; g < want->n_include; g++)
        if (mark(t, want->include[g], 0, which) == 0) {
            char names[300];
            tell(t, "*.safetensors", names, sizeof names);
            if (!names[0])
                tell(t, "*.gguf", names, sizeof names);
            return silr_fail(err, SILR_EINPUT, "%s: no file matches --include %.80s%s%s", want->name,
                             want->include[g], names[0] ? "; there are " : "", names);
        }
    return SILR_OK;
}

static silr_status several(const silr_hub_tree *t, const silr_hub_want *want, const char *glob,
                           silr_error *err)
{
    char names[500];

    tell(t, glob, names, sizeof names);
    return silr_fail(err, SILR_EINPUT, "%s has several files of weights; say which with --include NAME: "
                     "%s", want->name, names);
}

static silr_status pick_weights(const silr_hub_tree *t, const silr_hub_want *want, bool *which,
                                silr_error *err)
{
    size_t n;

    if (has(t, "model.safetensors.index.json")) {
        mark(t, "model.safetensors.index.json", 0, which);
        if (mark(t, "model-*-of-*.safetensors", FNM_PATHNAME, which) > 0)
            return SILR_OK;
        return silr_fail(err, SILR_EPEER, "%s: there is an index of shards, and no shards", want->name);
    }
    if (mark(t, "model.safetensors", 0, which) > 0)
        return SILR_OK;
    if ((n = mark(t, "*.safetensors", FNM_PATHNAME, which)) > 0)
        return n == 1 ? SILR_OK : several(t, want, "*.safetensors", err);
    if ((n = mark(t, "*.gguf", 0, which)) > 0)
        return n == 1 ? SILR_OK : several(t, want, "*.gguf", err);
    return silr_fail(err, SILR_EINPUT, "%s has no weights that silr reads: neither safetensors nor GGUF",
                     want->name);
}

silr_status silr_hub_pick(const silr_hub_tree *t, const silr_hub_want *want, bool *which,
                          silr_error *err)
{
    for (size_t i = 0; i < t->n; i++)
        which[i] = is_small(t->entry[i].name);
    return want->n_include > 0 ? pick_included(t, want, which, err)
                               : pick_weights(t, want, which, err);
}
