/* identity.c - the SHA-256 of a model: of its file, or of the list of its folder's files.
 *
 * The list is what `sha256sum` prints of them, a line each, "hash  name", in the order below: what
 * the tensors are used with (configuration, pooling, tokenizer) changes what a model computes, so
 * it belongs to its identity. */
#include "formats/weights_inside.h"

#include <string.h>

static silr_status hash_map(const silr_map *m, silr_sha256 *out, silr_error *err)
{
    silr_status st = silr_sha256_bytes(out, m->bytes, m->size, err);
    return st == SILR_OK ? silr_map_intact(m, err) : st;
}

static silr_status add_beside(const silr_weights *w, const char *name, silr_buf *list,
                              silr_error *err)
{
    silr_status st = SILR_OK;
    silr_sha256 hash;
    char *path = silr_path_join(w->folder, name);

    if (!path)
        return silr_fail_memory(err);
    if (silr_file_exists(path)) {
        if ((st = silr_sha256_file(&hash, path, err)) == SILR_OK)
            silr_buf_printf(list, "%s  %s\n", hash.hex, name);
    }
    silr_free(path);
    return st;
}

static silr_status hash_folder(const silr_weights *w, silr_sha256 *out, silr_error *err)
{
    char pooling[sizeof w->pooling + 16];
    const char *beside[] = {"config.json",    "modules.json",
                            pooling,          "sentence_bert_config.json",
                            "tokenizer.json", "tokenizer_config.json"};
    silr_buf list = {0};
    silr_status st = SILR_OK;

    snprintf(pooling, sizeof pooling, "%s/config.json", w->pooling[0] ? w->pooling : "1_Pooling");
    for (size_t i = 0; i < sizeof beside / sizeof *beside && st == SILR_OK; i++)
        st = add_beside(w, beside[i], &list, err);
    for (size_t i = 0; i < w->n_files && st == SILR_OK; i++)
        if ((st = hash_map(silr_safetensors_mapped(w->file[i]), out, err)) == SILR_OK)
            silr_buf_printf(&list, "%s  %s\n", out->hex, w->name[i]);
    if (st == SILR_OK)
        st = list.failed ? silr_fail_memory(err) : silr_sha256_bytes(out, list.data, list.len, err);
    silr_buf_clear(&list);
    return st;
}

silr_status silr_weights_hash(const silr_weights *w, silr_sha256 *out, silr_error *err)
{
    silr_identity *kept = w->identity;
    silr_status st = SILR_OK;
    const silr_map *m = w->gguf ? silr_gguf_mapped(w->gguf) : NULL;

    pthread_mutex_lock(&kept->lock);
    if (!kept->known) {
        if (w->gguf && !m) /* parsed from bytes, which only tests do */
            st = silr_fail(err, SILR_EINPUT, "%s: is not a file", w->path);
        else
            st = m ? hash_map(m, &kept->hash, err) : hash_folder(w, &kept->hash, err);
        kept->known = st == SILR_OK;
    }
    if (st == SILR_OK)
        *out = kept->hash;
    pthread_mutex_unlock(&kept->lock);
    return st;
}
